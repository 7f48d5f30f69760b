"""Base classes of the scenarios: HTTP users of the open loop, and users of the platform's API."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from locust import FastHttpUser
from locust.exception import StopTest

from loadtests.generator.configuration import read_configuration
from loadtests.generator.open_loop import OpenLoopMixin
from loadtests.generator.scheduler import MAX_OPEN_ARRIVALS
from loadtests.generator.tokens import token_file
from loadtests.protocol import CONFIG_VARIABLE, LoadTarget

if TYPE_CHECKING:
    from locust.env import Environment


class OpenLoopHttpUser(OpenLoopMixin, FastHttpUser):
    """HTTP user of the open loop, for the target of the configuration or else the host of `--host`.

    Args:
        environment: Locust environment.
    """

    abstract = True
    insecure = False
    concurrency = MAX_OPEN_ARRIVALS
    connection_timeout = 5.0
    network_timeout = 30.0

    def __init__(self, environment: Environment) -> None:
        self.target = read_configuration().target or LoadTarget(url=environment.host or "")
        self.host = environment.host or self.target.url or None
        self.ssl_context_factory = lambda: ssl.create_default_context(cafile=self.target.ca_file)
        super().__init__(environment)


class PlatformUser(OpenLoopHttpUser):
    """User of the platform's API.

    Args:
        environment: Locust environment.
    """

    abstract = True

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        if not token_file().read():
            raise StopTest(f"{CONFIG_VARIABLE} names no access: esq load prepare ENV SCENARIO FILE")

    @property
    def company(self) -> str:
        """Company on whose behalf the arrival makes its request."""
        tokens = token_file().read()
        return tokens[self.arrival.number % len(tokens)][0]

    @property
    def run_name(self) -> str:
        """Name of the run.

        Raises:
            TypeError: there is no run.
        """
        if self.scheduler.plan is None:
            raise TypeError("tasks are started by arrivals")
        return self.scheduler.plan.run_name

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
        number, tokens = self.arrival.number, token_file().read()
        headers = {"Authorization": f"Bearer {tokens[number % len(tokens)][1]}"}
        if method == "POST":
            headers["Idempotency-Key"] = f"{self.run_name}-{number}"
        response = self.client.request(method, path, name=name, json=body, headers=headers)
        return response.json() if response.ok and response.content else None
