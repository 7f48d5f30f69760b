"""Bearer tokens: who is calling, for which company, and what they may do.

The company comes from here and nowhere else: neither body nor path decides it.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jwt
from fastapi import Request  # noqa: TC002 - FastAPI reads the annotation when it runs

from services.kit.errors import ForbiddenError, UnauthorisedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

ALGORITHM = "HS256"
LEEWAY_SECONDS = 10
COMPANY = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True)
class Caller:
    """Who is calling.

    Attributes:
        subject: person or service.
        company: the tenant everything is done for.
        scopes: what the token allows, e.g. `contacts:read`.
    """

    subject: str
    company: str
    scopes: frozenset[str]


class Tokens:
    """Reads and makes tokens with the environment's key."""

    def __init__(self, key: str) -> None:
        self._key = key

    def read(self, token: str) -> Caller:
        """Return the caller that a token proves.

        Raises:
            UnauthorisedError: forged, ended, or without subject, company or end.
        """
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[ALGORITHM],
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "sub", "company"]},
            )
        except jwt.InvalidTokenError as error:
            raise UnauthorisedError("the bearer token is not valid") from error
        company = claims["company"]
        if not isinstance(company, str) or not COMPANY.fullmatch(company):
            raise UnauthorisedError("the bearer token names no company")
        return Caller(str(claims["sub"]), company, frozenset(str(claims.get("scope", "")).split()))

    def issue(self, subject: str, company: str, scopes: Iterable[str], *, seconds: float = 300) -> str:
        """Make a token; services use short ones to call each other."""
        claims = {"sub": subject, "company": company, "scope": " ".join(scopes), "exp": time.time() + seconds}
        return jwt.encode(claims, self._key, algorithm=ALGORITHM)


def allowed(scope: str) -> Callable[[Request], Awaitable[Caller]]:
    """Return a dependency: the caller, whose token must hold the scope.

    A coroutine like all our dependencies, as FastAPI takes others to a thread and back with every request.
    """

    async def check(request: Request) -> Caller:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise UnauthorisedError("a bearer token is needed")
        tokens: Tokens = request.app.state.tokens
        caller = tokens.read(token.strip())
        if scope not in caller.scopes:
            raise ForbiddenError(f"the token lacks the scope {scope}")
        return caller

    return check
