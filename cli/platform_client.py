"""HTTP client of the platform API, through the edge.

Every request of the API is idempotent. Therefore the client retries transient failures with exponential,
jittered backoff until a deadline.
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

RETRYABLE_STATUSES = frozenset({408, 425, 429, 502, 503, 504})
"""Response status codes after which a retry can succeed."""
INITIAL_BACKOFF_SECONDS = 0.2
MAX_BACKOFF_SECONDS = 5.0
TOKEN_TTL_SECONDS = 300


class RequestRejectedError(EsqError):
    """The platform rejected the request; a retry cannot succeed."""


class PlatformUnavailableError(EsqError):
    """The platform did not respond before the deadline."""


@dataclass
class PlatformClient:
    """A client for one company.

    Attributes:
        http: client with the address and the certificate authority of the edge.
        token_key: HMAC key of the environment's bearer tokens.
        read_token_key: returns the key that is used now: a rotation of the credentials may replace it.
        company: tenant of all requests.
        deadline: time on `clock` after which nothing is retried.
        environment: name of the environment, for messages.
        clock: monotonic time in seconds.
        sleep: waits, in seconds.
        on_retry: called with the reason before each retry.
    """

    http: httpx.Client
    token_key: str = field(repr=False)
    company: str
    deadline: float
    environment: str = field(kw_only=True)
    read_token_key: Callable[[], str] | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    on_retry: Callable[[str], None] = lambda _: None

    def call(  # noqa: PLR0913 - one per part of a request
        self,
        method: str,
        path: str,
        scope: str,
        *,
        body: object | None = None,
        content: Callable[[], Iterable[bytes]] | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:  # noqa: ANN401 - any JSON
        """Send a request, with retries.

        Args:
            method: HTTP method.
            path: path on the edge.
            scope: scope of the token.
            body: value that is sent as JSON.
            content: returns a stream to send; called again for each attempt.
            query: query parameters.
            headers: additional headers.

        Returns:
            The JSON of the response.

        Raises:
            RequestRejectedError: a response that no retry can change.
            PlatformUnavailableError: no successful response before the deadline.
        """
        backoff = INITIAL_BACKOFF_SECONDS
        while True:
            try:
                response = self.http.request(
                    method,
                    path,
                    json=body,
                    content=content() if content else None,
                    params=query,
                    headers={**(headers or {}), "Authorization": f"Bearer {self._token(scope)}"},
                )
            except httpx.TransportError as error:
                reason = f"{type(error).__name__}: {error}"
            else:
                if response.is_success:
                    return response.json()
                if response.status_code == httpx.codes.UNAUTHORIZED and self._renew_token_key():
                    continue
                if response.status_code not in RETRYABLE_STATUSES:
                    raise _rejected(method, path, response)
                reason = f"status {response.status_code}"
            if self.clock() + backoff > self.deadline:
                raise PlatformUnavailableError(
                    f"{method} {path} did not succeed before the deadline: {reason}",
                    location=str(self.http.base_url),
                    remedy=f"See `esq status {self.environment}`, then repeat the command; it resumes.",
                )
            self.on_retry(f"{method} {path}, retry after {reason}")
            self.sleep(backoff * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret
            backoff = min(2 * backoff, MAX_BACKOFF_SECONDS)

    def _renew_token_key(self) -> bool:
        """Return whether the key was replaced meanwhile."""
        previous = self.token_key
        self.token_key = self.read_token_key() if self.read_token_key else previous
        return self.token_key != previous

    def _token(self, scope: str) -> str:
        expires = time.time() + TOKEN_TTL_SECONDS
        claims = {"sub": "esq", "company": self.company, "scope": scope, "exp": expires}
        return jwt.encode(claims, self.token_key, algorithm="HS256")


def _rejected(method: str, path: str, response: httpx.Response) -> RequestRejectedError:
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    reason = problem.get("detail") or problem.get("title") or response.text[:200]
    return RequestRejectedError(
        f"{method} {path} was rejected with {response.status_code}: {reason}",
        location=str(response.request.url),
        remedy="Correct the request. If the request is valid, see the logs of the service.",
    )
