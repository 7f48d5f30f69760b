"""Exports until when the certificates of this process are valid."""

from __future__ import annotations

import math
import ssl
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from services.contracts import telemetry
from services.kit.observability.metrics import gauge

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from services.kit.settings import ProcessSettings

EXPIRY = gauge(telemetry.CERTIFICATE_EXPIRY)
_END = "-----END CERTIFICATE-----"
_LONG_LENGTH = 0x80
_VERSION_TAG = 0xA0
_UTC_TIME_TAG = 0x17
_VALIDITY = 3
"""Fields before the validity: serial number, algorithm, issuer (RFC 5280, 4.1)."""


def export_certificate_expiry(process: ProcessSettings) -> None:
    """Export the end of validity of the certificates; their files are read at each scrape, as they change."""
    if process.tls_cert:
        EXPIRY.labels("server").set_function(partial(_expiry, process.tls_cert, _first))
    if process.ca_file:
        EXPIRY.labels("ca").set_function(partial(_expiry, process.ca_file, min))


def _expiry(path: Path, select: Callable[[list[float]], float]) -> float:
    """Return the end of validity; not a number while the file cannot be read, as a scrape must not fail."""
    try:
        return select(expiries(path))
    except (OSError, ValueError, IndexError):
        return math.nan


def _first(values: list[float]) -> float:
    """Return the end of the process's own certificate, which is the first in its file."""
    return values[0]


def expiries(path: Path) -> list[float]:
    """Return the end of validity of each certificate of a PEM file, in seconds since 1970."""
    parts = path.read_text().split(_END)[:-1]
    return [_not_after(ssl.PEM_cert_to_DER_cert(part.strip() + "\n" + _END)) for part in parts]


def _not_after(certificate: bytes) -> float:
    """Return the end of validity of a certificate in DER."""
    _, body, _ = _element(certificate, 0)
    _, position, _ = _element(certificate, body)
    tag, _, end = _element(certificate, position)
    if tag == _VERSION_TAG:
        position = end
    for _ in range(_VALIDITY):
        _, _, position = _element(certificate, position)
    _, start, _ = _element(certificate, position)
    _, _, not_after = _element(certificate, start)
    tag, start, end = _element(certificate, not_after)
    form = "%y%m%d%H%M%SZ" if tag == _UTC_TIME_TAG else "%Y%m%d%H%M%SZ"
    return datetime.strptime(certificate[start:end].decode(), form).replace(tzinfo=UTC).timestamp()


def _element(data: bytes, position: int) -> tuple[int, int, int]:
    """Return tag, start and end of the contents of the element at a position (X.690, 8.1)."""
    tag, length, start = data[position], data[position + 1], position + 2
    if length >= _LONG_LENGTH:
        size = length - _LONG_LENGTH
        length, start = int.from_bytes(data[start : start + size]), start + size
    return tag, start, start + length
