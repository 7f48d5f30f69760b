"""One campaign to 100,000 contacts, which starts at once: `locust -f loadtests/campaign.py`."""

from __future__ import annotations

from locust import task

from loadtests.generator.shape import OpenLoopShape
from loadtests.generator.users import PlatformUser
from loadtests.scenarios import CREATE_CAMPAIGN

__all__ = ["CampaignUser", "OpenLoopShape"]

TEXT = "Olá {name}, até já."


class CampaignUser(PlatformUser):
    """Creates campaigns to an existing list."""

    @task
    def create_campaign(self) -> None:
        """Create a campaign."""
        arrival, target = self.arrival, self.target
        body = {
            "name": f"load {self.run_name} {arrival.number}",
            "list": target.list_name,
            "text": f"{TEXT} ({self.run_name}-{arrival.number})",
            "connection": target.connection,
        }
        campaign = self.call_api("POST", "/campaigns", CREATE_CAMPAIGN, body)
        if campaign is not None:
            self.scheduler.recorder.record_campaign(self.company, str(campaign["id"]), arrival.due_at)
