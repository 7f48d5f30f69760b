"""The end of validity is read from certificates of any form."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from prometheus_client import generate_latest

from services.kit.observability.certificates import expiries, export_certificate_expiry
from services.kit.settings import ProcessSettings
from tests.metrics import metric

if TYPE_CHECKING:
    from pathlib import Path

NEXT_YEARS = datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)
AFTER_2050 = datetime(2061, 2, 3, 4, 5, 6, tzinfo=UTC)
"""Times from 2050 on have another form in certificates."""


def certificate(end: datetime) -> str:
    """Return a certificate whose issuer has a name of more than 255 bytes."""
    key = ec.generate_private_key(ec.SECP256R1())
    units = [
        x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, f"unit {number:050}") for number in range(6)
    ]
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(units[:1]))
        .issuer_name(x509.Name(units))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(end)
    )
    signed = builder.sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def test_expiry_of_each_certificate_is_read(tmp_path: Path) -> None:
    path = tmp_path / "ca.crt"
    path.write_text(certificate(AFTER_2050) + certificate(NEXT_YEARS))

    assert expiries(path) == [AFTER_2050.timestamp(), NEXT_YEARS.timestamp()]


def test_own_certificate_and_first_authority_to_expire_are_exported(tmp_path: Path) -> None:
    server, authorities = tmp_path / "tls.crt", tmp_path / "ca.crt"
    server.write_text(certificate(AFTER_2050) + certificate(NEXT_YEARS))
    authorities.write_text(certificate(AFTER_2050) + certificate(NEXT_YEARS))

    export_certificate_expiry(ProcessSettings(service="test", tls_cert=server, ca_file=authorities))

    assert metric("esq_certificate_expiry_timestamp_seconds", certificate="server") == AFTER_2050.timestamp()
    assert metric("esq_certificate_expiry_timestamp_seconds", certificate="ca") == NEXT_YEARS.timestamp()
    server.write_text(certificate(NEXT_YEARS))
    assert metric("esq_certificate_expiry_timestamp_seconds", certificate="server") == NEXT_YEARS.timestamp()


def test_file_that_cannot_be_read_fails_no_scrape(tmp_path: Path) -> None:
    server = tmp_path / "tls.crt"
    server.write_text(certificate(AFTER_2050))
    export_certificate_expiry(ProcessSettings(service="test", tls_cert=server))
    for damage in ("", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"):
        server.write_text(damage)
        assert math.isnan(metric("esq_certificate_expiry_timestamp_seconds", certificate="server") or 0)
    server.unlink()

    assert b'certificate="server"} NaN' in generate_latest()
