"""Conversion between rows and domain objects."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

from services.campaigns.commands import CampaignProgress
from services.campaigns.domain.lifecycle import MissedStartPolicy, RequestedState, effective_state
from services.campaigns.domain.model import Campaign
from services.campaigns.domain.schedule_rules import Schedule
from services.campaigns.domain.send_windows import SendWindow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Row

    from services.campaigns.domain.model import MessageState


def campaign_from_row(row: Row[Any]) -> Campaign:
    """Return the campaign of a row."""
    return Campaign(
        company=row.company,
        id=row.id,
        name=row.name,
        list_name=row.list_name,
        text=row.text,
        connection=row.connection,
        run=row.run,
        text_variants=tuple(row.text_variants),
        variables=row.variables,
        window_closes_at=row.window_closes_at,
        expires_at=row.expires_at,
    )


def progress_from_row(row: Row[Any], counts: Mapping[MessageState, int]) -> CampaignProgress:
    """Return the campaign of a row with its plan, state and counts.

    Args:
        row: columns of the campaign and its plan.
        counts: messages per state, without zeros.

    Returns:
        The campaign's progress.
    """
    planned, requested_state = sum(counts.values()), RequestedState(row.requested_state)
    return CampaignProgress(
        campaign=campaign_from_row(row),
        state=effective_state(requested_state, row.planned, row.failure, counts),
        failure=row.failure,
        planned=planned,
        total=planned if row.planned else row.total,
        counts=counts,
        requested_state=requested_state,
        schedule=_schedule(row),
        status_reason=row.status_reason,
    )


def _schedule(row: Row[Any]) -> Schedule:
    policy = MissedStartPolicy(row.missed_start_policy)
    return Schedule(row.start_at, policy, _window_from_json(row.send_window), row.expires_at)


def window_to_json(window: SendWindow | None) -> str | None:
    """Return the stored form of a window; None for no window."""
    if window is None:
        return None
    return json.dumps(
        {
            "time_zone": window.time_zone,
            "days": sorted(window.days),
            "starts": window.starts.isoformat(),
            "ends": window.ends.isoformat(),
        }
    )


def _window_from_json(stored: Mapping[str, Any] | None) -> SendWindow | None:
    if stored is None:
        return None
    starts, ends = (dt.time.fromisoformat(stored[name]) for name in ("starts", "ends"))
    return SendWindow(stored["time_zone"], frozenset(stored["days"]), starts, ends)
