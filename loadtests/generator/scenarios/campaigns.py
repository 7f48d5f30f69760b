"""Campaigns that are created and start at once."""

from __future__ import annotations

from locust import task

from loadtests.generator.base_user import ScenarioUser
from loadtests.scenarios import CREATE_CAMPAIGN

TEXT = "Olá {name}, até já."


class CampaignUser(ScenarioUser):
    """Creates campaigns to an existing list."""

    @task
    def create_campaign(self) -> None:
        """Create a campaign."""
        arrival, target = self.arrival, self.config.target
        body = {
            "name": f"load {self.config.run_name} {arrival.number}",
            "list": target.list_name,
            "text": f"{TEXT} ({self.config.run_name}-{arrival.number})",
            "connection": target.connection,
        }
        campaign = self.call_api("POST", "/campaigns", CREATE_CAMPAIGN, body)
        if campaign is not None:
            self.recorder.record_campaign(self.company, str(campaign["id"]), arrival.due_at)
