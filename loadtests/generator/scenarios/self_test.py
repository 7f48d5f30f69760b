"""One page of any server, to test the generator itself."""

from __future__ import annotations

from locust import task

from loadtests.generator.base_user import ScenarioUser


class SelfTestUser(ScenarioUser):
    """Requests the root of the server."""

    @task
    def get_root(self) -> None:
        """Request the root."""
        self.client.get("/", name="page")
