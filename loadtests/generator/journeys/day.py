"""A working day, all at once: people at their desks, and now and then a campaign."""

from __future__ import annotations

from locust import task

from loadtests.generator.journeys.api import Api
from loadtests.generator.journeys.campaigns import Campaigns


class Day(Api, Campaigns):
    """The requests of both."""

    @task(2)
    def create(self) -> None:
        """Create a campaign."""
        super().create()
