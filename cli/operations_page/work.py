"""Panels of the work in progress: queues, campaigns and SLOs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.actions.slo import format_age
from cli.operations_page.panel import Content
from cli.operations_page.rendering import render
from services.contracts.slo import SloStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cli.actions.queue import QueueRow
    from cli.actions.slo import SloReport

_STATUS_ORDER = (*(SloStatus.VIOLATED, SloStatus.MISSED, SloStatus.INSUFFICIENT), "unmeasured", SloStatus.MET)
_NOT_ENDED = frozenset({"pending", "queued", "accepted"})
"""Message states whose result is still to come."""


@dataclass(frozen=True)
class CampaignRow:
    """Progress of a campaign.

    Attributes:
        company: its company.
        name: its name.
        state: its state, with the reason if there is one.
        total: messages that it will have; as many as are planned until that is known.
        ended: messages whose result is known.
        counts: messages by state, in words.
    """

    company: str
    name: str
    state: str
    total: int
    ended: int
    counts: str


def queues_content(rows: Sequence[QueueRow]) -> Content:
    """Return the panel of the job queues."""
    problems = [
        f"{row.queue}: {row.near_deadline} jobs are close to their deadline"
        for row in rows
        if row.near_deadline
    ]
    problems += [f"{row.queue} is {row.state}" for row in rows if row.state != "running"]
    return Content(render("queues", rows=rows), tuple(problems))


def campaigns_content(campaigns: Mapping[str, Sequence[Mapping[str, Any]]]) -> Content:
    """Return the panel of campaigns.

    Args:
        campaigns: campaigns as the API returns them, newest first, by company.
    """
    rows = [_campaign_row(company, campaign) for company, listed in campaigns.items() for campaign in listed]
    problems = [
        f"{row.name} of {row.company}: {campaign['failure']}"
        for row, campaign in zip(
            rows, (item for listed in campaigns.values() for item in listed), strict=True
        )
        if campaign.get("failure")
    ]
    return Content(render("campaigns", rows=rows, companies=list(campaigns)), tuple(problems))


def _campaign_row(company: str, campaign: Mapping[str, Any]) -> CampaignRow:
    counts: Mapping[str, int] = campaign["counts"]
    reason = campaign.get("failure") or campaign.get("status_reason")
    return CampaignRow(
        company,
        campaign["name"],
        f"{campaign['state']}: {reason}" if reason else campaign["state"],
        campaign["total"] or campaign["planned"],
        sum(count for state, count in counts.items() if state not in _NOT_ENDED),
        ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "no messages",
    )


def slos_content(reports: Sequence[SloReport], environment: str) -> Content:
    """Return the panel of the measured SLOs, those that need attention first.

    Args:
        reports: the evaluated SLOs.
        environment: name of the environment, for the commands.
    """
    ordered = sorted(reports, key=lambda report: _STATUS_ORDER.index(report.status))
    rows = [
        {
            "report": report,
            "age": format_age(report.age),
            "command": report.slo.command.replace("ENV", environment),
        }
        for report in ordered
    ]
    counts = {
        status: sum(report.status == status for report in reports) for status in map(str, _STATUS_ORDER)
    }
    violated = [f"{report.slo.id} is violated" for report in reports if report.violated]
    unreadable = [str(problem) for report in reports for problem in report.problems]
    return Content(render("slos", rows=rows, counts=counts), (*violated, *unreadable))
