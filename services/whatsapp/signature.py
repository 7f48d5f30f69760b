"""Proof that a callback is the provider's: HMAC-SHA256 over the raw bytes, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac

HEADER = "X-Hub-Signature-256"


def sign(secret: bytes, body: bytes) -> str:
    """Return the value of the signature header for `body`."""
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


def matches(secret: bytes, body: bytes, header: str) -> bool:
    """Tell whether `header` signs exactly these bytes; a wrong one takes as long as a right one."""
    return hmac.compare_digest(sign(secret, body).encode(), header.encode())
