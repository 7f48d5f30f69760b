"""A small certificate authority: a CA, and the certificates that it signs (P-256, PEM).

A certificate is valid for one usage, so that nobody who reads the key of a server can log in with it.
Certificates are also valid for 127.0.0.1, because probes inside a pod connect to the process beside them.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from enum import StrEnum
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Sequence

CA_LIFETIME = dt.timedelta(days=3650)
CERTIFICATE_LIFETIME = dt.timedelta(days=365)
_CLOCK_SKEW = dt.timedelta(minutes=5)
"""A machine whose clock is behind by this much still accepts a new certificate."""

_LOOPBACK = ipaddress.ip_address("127.0.0.1")


class Usage(StrEnum):
    """What a certificate proves, as its extended key usage."""

    SERVER = "server"
    """The identity of a server."""
    CLIENT = "client"
    """The identity of a client that authenticates with it."""

    @property
    def oid(self) -> x509.ObjectIdentifier:
        """Object identifier of the extended key usage."""
        is_server = self is Usage.SERVER
        return ExtendedKeyUsageOID.SERVER_AUTH if is_server else ExtendedKeyUsageOID.CLIENT_AUTH


class KeyPair(BaseModel):
    """A certificate and its private key.

    Attributes:
        certificate: PEM.
        key: PEM, PKCS #8, unencrypted: it is stored inside encrypted values only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    certificate: str
    key: str = Field(repr=False)

    @property
    def expires_at(self) -> dt.datetime:
        """End of validity (UTC)."""
        return self.parsed.not_valid_after_utc

    @property
    def parsed(self) -> x509.Certificate:
        """The parsed certificate."""
        return x509.load_pem_x509_certificate(self.certificate.encode())


def _name(common_name: str, organization: str = "") -> x509.Name:
    group = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    return x509.Name([*group, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
    )


def _key_pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> KeyPair:
    return KeyPair(
        certificate=certificate.public_bytes(serialization.Encoding.PEM).decode(),
        key=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
    )


def create_ca(*, now: dt.datetime | None = None) -> KeyPair:
    """Create a certificate authority that may sign certificates, but no intermediate CA.

    Returns:
        The certificate of the authority and its key.
    """
    not_before = (now or dt.datetime.now(dt.UTC)) - _CLOCK_SKEW
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    certificate = (
        _builder(_name("esq"), _name("esq"), public)
        .not_valid_before(not_before)
        .not_valid_after(not_before + CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(is_ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _key_pair(certificate, key)


def issue_certificate(  # noqa: PLR0913 - the fields of a certificate
    ca: KeyPair,
    common_name: str,
    dns_names: Sequence[str],
    usage: Usage = Usage.SERVER,
    *,
    organization: str = "",
    ip_addresses: Sequence[str] = (),
    now: dt.datetime | None = None,
) -> KeyPair:
    """Issue a certificate with its own key.

    Args:
        ca: the signing certificate authority.
        common_name: common name of the subject; the user in Kubernetes.
        dns_names: DNS names in the certificate.
        usage: the only usage for which it is valid.
        organization: organization of the subject; the group in Kubernetes.
        ip_addresses: IP addresses in the certificate, besides 127.0.0.1.
        now: start of validity; the current time if None.

    Returns:
        The certificate and its key.

    Raises:
        TypeError: the key of the certificate authority is not an elliptic-curve key.
    """
    not_before = (now or dt.datetime.now(dt.UTC)) - _CLOCK_SKEW
    key = ec.generate_private_key(ec.SECP256R1())
    signer = serialization.load_pem_private_key(ca.key.encode(), None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise TypeError("the key of the certificate authority is not a P-256 key")
    issuer_key = signer.public_key()
    alternative_names = [
        *(x509.DNSName(name) for name in dns_names),
        *(x509.IPAddress(address) for address in (_LOOPBACK, *map(ipaddress.ip_address, ip_addresses))),
    ]
    certificate = (
        _builder(_name(common_name, organization), ca.parsed.subject, key.public_key())
        .not_valid_before(not_before)
        .not_valid_after(min(not_before + CERTIFICATE_LIFETIME, ca.expires_at))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(is_ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage.oid]), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternative_names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return _key_pair(certificate, key)


def is_valid(
    key_pair: KeyPair, dns_names: Sequence[str], until: dt.datetime, usage: Usage = Usage.SERVER
) -> bool:
    """Return whether a certificate has exactly the given names and usage, and expires after `until`.

    Args:
        key_pair: the certificate.
        dns_names: required DNS names.
        until: time (UTC).
        usage: required usage.
    """
    extensions = key_pair.parsed.extensions
    alternatives = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    names = set(alternatives.get_values_for_type(x509.DNSName))
    usages = list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    return key_pair.expires_at > until and names == set(dns_names) and usages == [usage.oid]
