"""A certificate authority of one's own, small: an authority, and server certificates it signs (P-256, PEM).

Certificates also hold for 127.0.0.1, because a probe inside the pod asks the process beside it.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Sequence

AUTHORITY_LIFE = dt.timedelta(days=3650)
CERTIFICATE_LIFE = dt.timedelta(days=365)
_SKEW = dt.timedelta(minutes=5)
"""How far a machine's clock may be behind and still find a new certificate valid."""

_LOOPBACK = ipaddress.ip_address("127.0.0.1")


class KeyPair(BaseModel):
    """A certificate and its private key.

    Attributes:
        certificate: PEM.
        key: PEM, PKCS #8, not encrypted: it is only ever kept inside something encrypted.
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
        """The certificate, read."""
        return x509.load_pem_x509_certificate(self.certificate.encode())


def _name(common_name: str, organization: str = "") -> x509.Name:
    group = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    return x509.Name([*group, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
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


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> KeyPair:
    return KeyPair(
        certificate=certificate.public_bytes(serialization.Encoding.PEM).decode(),
        key=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
    )


def new_authority(*, now: dt.datetime | None = None) -> KeyPair:
    """Make a certificate authority that may sign servers, and nothing that signs in turn."""
    begin = (now or dt.datetime.now(dt.UTC)) - _SKEW
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    certificate = (
        _builder(_name("esq"), _name("esq"), public)
        .not_valid_before(begin)
        .not_valid_after(begin + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pair(certificate, key)


def issue(  # noqa: PLR0913 - the words of a certificate
    authority: KeyPair,
    name: str,
    names: Sequence[str],
    *,
    organization: str = "",
    addresses: Sequence[str] = (),
    now: dt.datetime | None = None,
) -> KeyPair:
    """Issue a certificate with its own key.

    Args:
        authority: who signs.
        name: the subject's common name; to Kubernetes, the user.
        names: DNS names it is good for.
        organization: the subject's organization; to Kubernetes, the group.
        addresses: IP addresses it is good for, besides 127.0.0.1.
        now: begin of validity; this moment when None.
    """
    begin = (now or dt.datetime.now(dt.UTC)) - _SKEW
    key = ec.generate_private_key(ec.SECP256R1())
    signer = serialization.load_pem_private_key(authority.key.encode(), None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise TypeError("an authority of esq has a P-256 key")
    issuer_key = signer.public_key()
    alternatives = [
        *(x509.DNSName(each) for each in names),
        *(x509.IPAddress(address) for address in (_LOOPBACK, *map(ipaddress.ip_address, addresses))),
    ]
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        _builder(_name(name, organization), authority.parsed.subject, key.public_key())
        .not_valid_before(begin)
        .not_valid_after(min(begin + CERTIFICATE_LIFE, authority.expires_at))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return _pair(certificate, key)


def still_good(pair: KeyPair, names: Sequence[str], until: dt.datetime) -> bool:
    """Tell whether `pair` holds for exactly `names` and beyond `until` (UTC)."""
    alternatives = pair.parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return pair.expires_at > until and set(alternatives.get_values_for_type(x509.DNSName)) == set(names)
