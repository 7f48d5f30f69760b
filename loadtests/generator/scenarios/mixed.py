"""A working day: interactive API use, and campaigns at a low rate."""

from __future__ import annotations

from locust import task

from loadtests.generator.scenarios.api import ApiUser
from loadtests.generator.scenarios.campaigns import CampaignUser


class MixedUser(ApiUser, CampaignUser):
    """The requests of both."""

    @task(2)
    def create_campaign(self) -> None:
        """Create a campaign."""
        super().create_campaign()
