"""What people at their desks ask for: mostly reads, some writes."""

from __future__ import annotations

from locust import task

from loadtests.generator.visitor import Visitor

_FIRST_NUMBER = 5511_970_000_000


class Api(Visitor):
    """Reads campaigns and contacts, makes drafts, sends replies."""

    @task(40)
    def list_campaigns(self) -> None:
        """Open the list of campaigns."""
        self.ask("GET", "/campaigns?limit=20", "list campaigns")

    @task(30)
    def list_contacts(self) -> None:
        """Open a list of contacts."""
        self.ask("GET", f"/contacts/lists/{self.order.ground.list}/contacts?limit=50", "list contacts")

    @task(10)
    def draft(self) -> None:
        """Make a draft."""
        ground, name = self.order.ground, f"load {self.order.run} {self.arrival.number}"
        body = {
            "name": name,
            "list": ground.list,
            "text": "Olá {name}.",
            "connection": ground.connection,
            "start": False,
        }
        self.ask("POST", "/campaigns", "create draft", body)

    @task(20)
    def reply(self) -> None:
        """Answer somebody who waits."""
        body = {
            "connection": self.order.ground.connection,
            "to": f"+{_FIRST_NUMBER + self.arrival.number % 1_000_000}",
            "text": f"Pois não? ({self.arrival.number})",
        }
        self.ask("POST", "/messages", "send reply", body)
