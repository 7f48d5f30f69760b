"""Signature of a webhook: HMAC-SHA256 over the raw body, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac

SIGNATURE_HEADER = "X-Hub-Signature-256"


def sign(secret: bytes, body: bytes) -> str:
    """Return the value of the signature header.

    Args:
        secret: HMAC key.
        body: raw body.
    """
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


def verify(secret: bytes, body: bytes, header: str) -> bool:
    """Return whether `header` signs exactly this body. The comparison takes constant time.

    Args:
        secret: HMAC key.
        body: raw body.
        header: value of the signature header.
    """
    return hmac.compare_digest(sign(secret, body).encode(), header.encode())
