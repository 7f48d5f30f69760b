"""One page of any server, to test the generator itself: `locust -f loadtests/self_test.py --host URL`."""

from __future__ import annotations

from locust import task

from loadtests.generator.shape import OpenLoopShape
from loadtests.generator.users import OpenLoopHttpUser

__all__ = ["OpenLoopShape", "SelfTestUser"]


class SelfTestUser(OpenLoopHttpUser):
    """Requests the root of the server."""

    @task
    def get_root(self) -> None:
        """Request the root."""
        self.client.get("/", name="page")
