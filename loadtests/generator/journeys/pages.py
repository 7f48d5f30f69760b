"""One page of any server: what the generator itself is checked with."""

from __future__ import annotations

from locust import task

from loadtests.generator.visitor import Visitor


class Pages(Visitor):
    """Asks for the root of the server."""

    @task
    def root(self) -> None:
        """Ask."""
        self.client.get("/", name="page")
