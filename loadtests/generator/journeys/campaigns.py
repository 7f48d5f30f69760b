"""A campaign is created and starts at once."""

from __future__ import annotations

from locust import task

from loadtests.generator.visitor import Visitor

TEXT = "Olá {name}, até já."


class Campaigns(Visitor):
    """Creates campaigns to a list that is there."""

    @task
    def create(self) -> None:
        """Create one."""
        arrival, ground = self.arrival, self.order.ground
        body = {
            "name": f"load {self.order.run} {arrival.number}",
            "list": ground.list,
            "text": f"{TEXT} ({self.order.run}-{arrival.number})",
            "connection": ground.connection,
        }
        made = self.ask("POST", "/campaigns", "create campaign", body)
        if made is not None:
            self.recorder.created(self.company, str(made["id"]), arrival.planned)
