"""The platform's HTTP interfaces through its edge, as a caller who knows that zones may go.

Every request may be sent twice without harm (that is how the interfaces are made), so that whatever fails in
passing is tried again, with growing and jittered pauses, until a deadline.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import jwt

from infra.errors import EsqError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

PASSING = frozenset({408, 425, 429, 502, 503, 504})
"""Answers that another try may turn into a good one."""
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
TOKEN_SECONDS = 300


class RefusedError(EsqError):
    """The platform understood the request and refused it."""


class AwayError(EsqError):
    """The platform did not answer before the deadline."""


@dataclass
class Edge:
    """A caller for one company.

    Attributes:
        http: with the edge's address and authority.
        token_key: HMAC key of the environment's bearer tokens.
        company: the tenant all requests are for.
        deadline: on `clock`; after it nothing is tried again.
        waiting: told why a request has to be tried again.
    """

    http: httpx.Client
    token_key: str = field(repr=False)
    company: str
    deadline: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    waiting: Callable[[str], None] = lambda _: None

    def call(  # noqa: PLR0913 - each is one keyword of a request
        self,
        method: str,
        path: str,
        scope: str,
        *,
        body: object | None = None,
        content: Callable[[], Iterable[bytes]] | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:  # noqa: ANN401 - what JSON holds
        """Send a request until it is answered, and return the JSON of the answer.

        Args:
            method: of HTTP.
            path: on the edge.
            scope: the only one that the token will have.
            body: sent as JSON.
            content: makes a stream to send; made again for each try.
            query: parameters of the address.
            headers: beside the token.

        Raises:
            RefusedError: an answer that no other try will change.
            AwayError: no answer before the deadline.
        """
        pause = FIRST_PAUSE
        while True:
            try:
                answer = self.http.request(
                    method,
                    path,
                    json=body,
                    content=content() if content else None,
                    params=query,
                    headers={**(headers or {}), "Authorization": f"Bearer {self._token(scope)}"},
                )
            except httpx.TransportError as error:
                trouble = f"{type(error).__name__}: {error}"
            else:
                if answer.is_success:
                    return answer.json()
                if answer.status_code not in PASSING:
                    raise _refused(method, path, answer)
                trouble = f"answers {answer.status_code}"
            if self.clock() + pause > self.deadline:
                raise AwayError(
                    f"{method} {path} was not answered in time: {trouble}",
                    location=str(self.http.base_url),
                    remedy="See `esq status`, then repeat the command: it goes on from there.",
                )
            self.waiting(f"{method} {path} again: {trouble}")
            self.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret
            pause = min(2 * pause, LONGEST_PAUSE)

    def _token(self, scope: str) -> str:
        claims = {"sub": "esq", "company": self.company, "scope": scope, "exp": time.time() + TOKEN_SECONDS}
        return jwt.encode(claims, self.token_key, algorithm="HS256")


def _refused(method: str, path: str, answer: httpx.Response) -> RefusedError:
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    reason = problem.get("detail") or problem.get("title") or answer.text[:200]
    return RefusedError(
        f"{method} {path} was refused with {answer.status_code}: {reason}",
        location=str(answer.request.url),
        remedy="Correct what was sent; when it is the platform's own fault, see the logs of the service.",
    )
