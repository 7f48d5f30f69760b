"""A working day, interactive API use and campaigns at a low rate: `locust -f loadtests/mixed_day.py`."""

from __future__ import annotations

from locust import task

from loadtests import api, campaign  # modules, since Locust runs every user class of this one
from loadtests.generator.shape import OpenLoopShape

__all__ = ["MixedUser", "OpenLoopShape"]


class MixedUser(api.ApiUser, campaign.CampaignUser):
    """The requests of both."""

    @task(2)
    def create_campaign(self) -> None:
        """Create a campaign."""
        super().create_campaign()
