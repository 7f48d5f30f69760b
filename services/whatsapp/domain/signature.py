"""Signature of a webhook: HMAC-SHA256 over the raw body, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SIGNATURE_HEADER = "X-Hub-Signature-256"


def sign(secret: bytes, body: bytes) -> str:
    """Return the value of the signature header.

    Args:
        secret: HMAC key.
        body: raw body.
    """
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


def verify(secrets: Iterable[bytes], body: bytes, header: str) -> bool:
    """Return whether `header` signs exactly this body. The comparison takes constant time.

    Args:
        secrets: accepted HMAC keys.
        body: raw body.
        header: value of the signature header.
    """
    shown = header.encode()
    matches = [hmac.compare_digest(sign(secret, body).encode(), shown) for secret in secrets]
    return any(matches)
