"""Base class of all scenarios: a Locust user whose requests belong to the arrival that runs them."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, Any

import gevent
import jwt
from locust import FastHttpUser

from loadtests.generator.open_loop import MAX_OPEN_ARRIVALS, Arrival

if TYPE_CHECKING:
    from locust.env import Environment

    from loadtests.generator.recorder import Recorder
    from loadtests.protocol import GeneratorConfig

SCOPES = "campaigns:read campaigns:write contacts:read messages:write"
TOKEN_LIFETIME_SECONDS = 900
TOKEN_RENEWAL_SECONDS = 600


class ScenarioUser(FastHttpUser):
    """One user per generator: its tasks run for many arrivals concurrently.

    Args:
        environment: Locust environment.
        config: configuration of the generator.
        recorder: recorder of results.
    """

    abstract = True
    insecure = False
    concurrency = MAX_OPEN_ARRIVALS
    connection_timeout = 5.0
    network_timeout = 30.0

    def __init__(self, environment: Environment, config: GeneratorConfig, recorder: Recorder) -> None:
        self.host = config.target.url
        self.ssl_context_factory = lambda: ssl.create_default_context(cafile=config.target.ca_file)
        super().__init__(environment)
        self.config = config
        self.recorder = recorder
        self._tokens: dict[str, tuple[float, str]] = {}

    @property
    def arrival(self) -> Arrival:
        """Arrival that runs the current task.

        Raises:
            TypeError: the task was not started by the scheduler.
        """
        current = gevent.getcurrent()
        if not isinstance(current, Arrival):
            raise TypeError("tasks are run by the scheduler")
        return current

    @property
    def company(self) -> str:
        """Company on whose behalf the arrival makes its requests."""
        companies = self.config.target.companies
        return companies[self.arrival.number % len(companies)]

    def call_api(self, method: str, path: str, name: str, body: object | None = None) -> Any:  # noqa: ANN401 - JSON of any form
        """Send a request of the arrival's company.

        Args:
            method: HTTP method.
            path: path and query.
            name: name of the request in the results.
            body: JSON body.

        Returns:
            The JSON of a successful response, None otherwise: also if its connection was closed early.
        """
        headers = {"Authorization": f"Bearer {self._token(self.company)}"}
        if method == "POST":
            headers["Idempotency-Key"] = f"{self.config.run_name}-{self.arrival.number}"
        response = self.client.request(method, path, name=name, json=body, headers=headers)
        return response.json() if response.ok and response.content else None

    def _token(self, company: str) -> str:
        issued_at, token = self._tokens.get(company, (0.0, ""))
        now = time.time()
        if now - issued_at > TOKEN_RENEWAL_SECONDS:
            claims = {"sub": "esq", "company": company, "scope": SCOPES, "exp": now + TOKEN_LIFETIME_SECONDS}
            token = jwt.encode(claims, self.config.target.token_key, algorithm="HS256")
            self._tokens[company] = now, token
        return token
