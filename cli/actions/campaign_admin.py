"""Operations on existing campaigns: list, show, change state, export."""

from __future__ import annotations

import csv
from typing import IO, TYPE_CHECKING, Any

from cli.actions.send_campaign import iterate_messages

if TYPE_CHECKING:
    from cli.platform_client import PlatformClient

COLUMNS = ("id", "contact_id", "state", "state_changed_at")
_MAX_PAGE_SIZE = 100


def list_campaigns(client: PlatformClient, limit: int) -> list[dict[str, Any]]:
    """Return the company's campaigns, newest first.

    Args:
        client: HTTP client for the company.
        limit: maximum number of campaigns.
    """
    campaigns: list[dict[str, Any]] = []
    before = None
    while len(campaigns) < limit:
        page_size = min(_MAX_PAGE_SIZE, limit - len(campaigns))
        query = {"limit": str(page_size)} | ({"before": before} if before else {})
        page = client.call("GET", "/campaigns", "campaigns:read", query=query)
        campaigns += page["campaigns"]
        before = page["next"]
        if before is None:
            break
    return campaigns


def get_campaign(client: PlatformClient, campaign: str) -> dict[str, Any]:
    """Return a campaign with its progress.

    Args:
        client: HTTP client for the company.
        campaign: id of the campaign.
    """
    progress: dict[str, Any] = client.call("GET", f"/campaigns/{campaign}", "campaigns:read")
    return progress


def change_state(client: PlatformClient, campaign: str, action: str) -> dict[str, Any]:
    """Start, pause, resume or cancel a campaign. Idempotent.

    Args:
        client: HTTP client for the company.
        campaign: id of the campaign.
        action: `start`, `pause`, `resume` or `cancel`.

    Returns:
        The campaign with its progress.
    """
    progress: dict[str, Any] = client.call("POST", f"/campaigns/{campaign}/{action}", "campaigns:write")
    return progress


def export_messages(client: PlatformClient, campaign: str, file: IO[str]) -> int:
    """Write the messages of a campaign as CSV.

    Messages are fetched in pages, each of which is retried, so that a zone outage costs seconds only.

    Args:
        client: HTTP client for the company.
        campaign: id of the campaign.
        file: receives one line per message, after a header.

    Returns:
        The number of messages.
    """
    writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
    writer.writeheader()
    row_count = 0
    for page in iterate_messages(campaign, client):
        writer.writerows(page)
        row_count += len(page)
    return row_count
