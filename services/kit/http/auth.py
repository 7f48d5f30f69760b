"""Bearer-token authentication: who calls, for which company, and with which scopes.

The company comes only from the token, never from the body or the path.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt
from fastapi import Request  # noqa: TC002 - FastAPI reads the annotation when it runs

from services.kit.errors import ForbiddenError, UnauthorisedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

ALGORITHM = "HS256"
LEEWAY_SECONDS = 10
COMPANY_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True)
class Principal:
    """An authenticated caller.

    Attributes:
        subject: person or service.
        company: tenant of the request.
        scopes: scopes that the token grants, e.g. `contacts:read`.
    """

    subject: str
    company: str
    scopes: frozenset[str]


class JwtTokens:
    """Verifies and issues tokens with the keys of the environment.

    Args:
        key: HMAC key that signs and verifies.
        accepted_keys: further keys that only verify, during a rotation of the keys.
    """

    def __init__(self, key: str, *accepted_keys: str) -> None:
        self._key = key
        self._accepted_keys = accepted_keys

    def verify(self, token: str) -> Principal:
        """Return the principal of a valid token.

        Raises:
            UnauthorisedError: the token is forged or expired, or lacks subject, company or expiry.
        """
        try:
            claims = self._decode(token)
        except jwt.InvalidTokenError as error:
            raise UnauthorisedError("the bearer token is invalid") from error
        company = claims["company"]
        if not isinstance(company, str) or not COMPANY_PATTERN.fullmatch(company):
            raise UnauthorisedError("the bearer token has no valid company")
        return Principal(str(claims["sub"]), company, frozenset(str(claims.get("scope", "")).split()))

    def _decode(self, token: str) -> dict[str, Any]:
        for key in self._accepted_keys:
            with suppress(jwt.InvalidSignatureError):
                return _decode_with(key, token)
        return _decode_with(self._key, token)

    def issue(
        self, subject: str, company: str, scopes: Iterable[str], *, lifetime_seconds: float = 300
    ) -> str:
        """Issue a token; services use short-lived ones to call each other.

        Args:
            subject: person or service.
            company: tenant that the token is valid for.
            scopes: granted scopes.
            lifetime_seconds: seconds until the token expires.

        Returns:
            The signed token.
        """
        expires_at = time.time() + lifetime_seconds
        claims = {"sub": subject, "company": company, "scope": " ".join(scopes), "exp": expires_at}
        return jwt.encode(claims, self._key, algorithm=ALGORITHM)


def _decode_with(key: str, token: str) -> dict[str, Any]:
    return jwt.decode(
        token,
        key,
        algorithms=[ALGORITHM],
        leeway=LEEWAY_SECONDS,
        options={"require": ["exp", "sub", "company"]},
    )


def require_scope(scope: str) -> Callable[[Request], Awaitable[Principal]]:
    """Return a FastAPI dependency that yields the principal and requires the scope.

    It is a coroutine like all dependencies here: FastAPI runs others in a thread for each request.
    """

    async def check(request: Request) -> Principal:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise UnauthorisedError("a bearer token is required")
        tokens: JwtTokens = request.app.state.tokens
        principal = tokens.verify(token.strip())
        if scope not in principal.scopes:
            raise ForbiddenError(f"the token lacks the scope {scope}")
        return principal

    return check
