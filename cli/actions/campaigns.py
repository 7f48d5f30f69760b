"""What an operator asks of campaigns that are there: to be shown, held, let go, cancelled, exported."""

from __future__ import annotations

import csv
from typing import IO, TYPE_CHECKING, Any

from cli.actions.campaign import messages

if TYPE_CHECKING:
    from cli.edge import Edge

COLUMNS = ("id", "contact_id", "state", "state_changed_at")


def latest(edge: Edge, most: int) -> list[dict[str, Any]]:
    """Return the company's newest campaigns, `most` at most, the newest first."""
    found: list[dict[str, Any]] = []
    before = None
    while len(found) < most:
        query = {"limit": str(min(100, most - len(found)))} | ({"before": before} if before else {})
        page = edge.call("GET", "/campaigns", "campaigns:read", query=query)
        found += page["campaigns"]
        before = page["next"]
        if before is None:
            break
    return found


def show(edge: Edge, campaign: str) -> dict[str, Any]:
    """Return how far a campaign is."""
    found: dict[str, Any] = edge.call("GET", f"/campaigns/{campaign}", "campaigns:read")
    return found


def act(edge: Edge, campaign: str, action: str) -> dict[str, Any]:
    """Start, pause, resume or cancel a campaign; return where it is then. Repeating it changes nothing."""
    found: dict[str, Any] = edge.call("POST", f"/campaigns/{campaign}/{action}", "campaigns:write")
    return found


def export(edge: Edge, campaign: str, file: IO[str]) -> int:
    """Write a line of CSV for each message of a campaign; return how many.

    A page at a time, each asked for until it is answered: a zone that goes meanwhile costs seconds.
    """
    writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
    writer.writeheader()
    written = 0
    for page in messages(campaign, edge):
        writer.writerows(page)
        written += len(page)
    return written
