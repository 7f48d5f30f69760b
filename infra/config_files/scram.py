"""The form in which Postgres stores a password: who reads it cannot log in with it.

See https://www.rfc-editor.org/rfc/rfc5803 and `PASSWORD` in
https://www.postgresql.org/docs/15/sql-alterrole.html.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

_ITERATIONS = 4096
_SALT_BYTES = 16


def scram_secret(account: str, password: str) -> str:
    """Return the SCRAM-SHA-256 secret of an account; the same password gives the same secret.

    The salt is no random one, so that a deploy with unchanged passwords changes nothing. It is public and
    derived from the password: the password must be random itself.

    Args:
        account: name of the account.
        password: its password, ASCII characters only.
    """
    salt = _hmac(password.encode("ascii"), account.encode())[:_SALT_BYTES]
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, _ITERATIONS)
    stored_key = hashlib.sha256(_hmac(salted, b"Client Key")).digest()
    server_key = _hmac(salted, b"Server Key")
    return f"SCRAM-SHA-256${_ITERATIONS}:{_base64(salt)}${_base64(stored_key)}:{_base64(server_key)}"


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
