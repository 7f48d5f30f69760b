"""Interactive API use, mostly reads, some writes: `locust -f loadtests/api.py`."""

from __future__ import annotations

from locust import task

from loadtests.generator.shape import OpenLoopShape
from loadtests.generator.users import PlatformUser

__all__ = ["ApiUser", "OpenLoopShape"]

_FIRST_NUMBER = 5511_970_000_000


class ApiUser(PlatformUser):
    """Lists campaigns and contacts, creates drafts, sends replies."""

    @task(40)
    def list_campaigns(self) -> None:
        """List campaigns."""
        self.call_api("GET", "/campaigns?limit=20", "list campaigns")

    @task(30)
    def list_contacts(self) -> None:
        """List the contacts of a list."""
        path = f"/contacts/lists/{self.target.list_name}/contacts?limit=50"
        self.call_api("GET", path, "list contacts")

    @task(10)
    def create_draft(self) -> None:
        """Create a draft campaign."""
        target, name = self.target, f"load {self.run_name} {self.arrival.number}"
        body = {
            "name": name,
            "list": target.list_name,
            "text": "Olá {name}.",
            "connection": target.connection,
            "start": False,
        }
        self.call_api("POST", "/campaigns", "create draft", body)

    @task(20)
    def send_reply(self) -> None:
        """Send a reply."""
        body = {
            "connection": self.target.connection,
            "to": f"+{_FIRST_NUMBER + self.arrival.number % 1_000_000}",
            "text": f"Pois não? ({self.arrival.number})",
        }
        self.call_api("POST", "/messages", "send reply", body)
