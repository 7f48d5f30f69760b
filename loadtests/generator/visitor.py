"""What all journeys have in common: a Locust user whose requests are known by the arrival they belong to."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, Any

import gevent
import jwt
from locust import FastHttpUser

from loadtests.generator.clock import MOST_OPEN, Arrival

if TYPE_CHECKING:
    from locust.env import Environment

    from loadtests.generator.recorder import Recorder
    from loadtests.order import Order

SCOPES = "campaigns:read campaigns:write contacts:read messages:write"
TOKEN_SECONDS = 900
RENEW_SECONDS = 600


class Visitor(FastHttpUser):
    """One user per generator: its tasks are called for many arrivals at once.

    Args:
        environment: of Locust; it carries the `order` and the `recorder`.
    """

    abstract = True
    insecure = False
    concurrency = MOST_OPEN
    connection_timeout = 5.0
    network_timeout = 30.0

    def __init__(self, environment: Environment, order: Order, recorder: Recorder) -> None:
        self.host = order.ground.url
        self.ssl_context_factory = lambda: ssl.create_default_context(cafile=order.ground.authority)
        super().__init__(environment)
        self.order = order
        self.recorder = recorder
        self._tokens: dict[str, tuple[float, str]] = {}

    @property
    def arrival(self) -> Arrival:
        """The arrival that the running task belongs to."""
        current = gevent.getcurrent()
        if not isinstance(current, Arrival):
            raise TypeError("tasks are called by the clock")
        return current

    @property
    def company(self) -> str:
        """Whose turn it is."""
        companies = self.order.ground.companies
        return companies[self.arrival.number % len(companies)]

    def ask(self, method: str, path: str, name: str, body: object | None = None) -> Any:  # noqa: ANN401 - what JSON holds
        """Send a request of the arrival's company, and return the JSON of a good answer, else None."""
        headers = {"Authorization": f"Bearer {self._token(self.company)}"}
        if method == "POST":
            headers["Idempotency-Key"] = f"{self.order.run}-{self.arrival.number}"
        answer = self.client.request(method, path, name=name, json=body, headers=headers)
        return answer.json() if answer.ok else None

    def _token(self, company: str) -> str:
        made, token = self._tokens.get(company, (0.0, ""))
        now = time.time()
        if now - made > RENEW_SECONDS:
            claims = {"sub": "esq", "company": company, "scope": SCOPES, "exp": now + TOKEN_SECONDS}
            token = jwt.encode(claims, self.order.ground.token_key, algorithm="HS256")
            self._tokens[company] = now, token
        return token
