"""Rows of the queries as what they mean, and back."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

from services.campaigns.commands import Progress
from services.campaigns.domain import Campaign
from services.campaigns.lifecycle import Missed, Status, stage_of
from services.campaigns.timetable import Times
from services.campaigns.windows import Window

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Row

    from services.campaigns.domain import State


def campaign_of(row: Row[Any]) -> Campaign:
    """Read a campaign's columns."""
    return Campaign(
        company=row.company,
        id=row.id,
        name=row.name,
        list_name=row.list_name,
        text=row.text,
        connection=row.connection,
        run=row.run,
        more_texts=tuple(row.more_texts),
        variables=row.variables,
        closes_at=row.closes_at,
        expires_at=row.expires_at,
    )


def progress_of(row: Row[Any], counts: Mapping[State, int]) -> Progress:
    """Read a campaign with its plan; the counts are those of its messages that are not zero."""
    planned, status = sum(counts.values()), Status(row.status)
    return Progress(
        campaign=campaign_of(row),
        stage=stage_of(status, row.planned, row.failure, counts),
        failure=row.failure,
        planned=planned,
        total=planned if row.planned else row.total,
        counts=counts,
        status=status,
        times=Times(row.start_at, Missed(row.missed), _window(row.send_window), row.expires_at),
        note=row.note,
    )


def window_text(window: Window | None) -> str | None:
    """Return a window as it is stored."""
    if window is None:
        return None
    begins, ends = window.begins.isoformat(), window.ends.isoformat()
    return json.dumps({"zone": window.zone, "days": sorted(window.days), "begins": begins, "ends": ends})


def _window(stored: Mapping[str, Any] | None) -> Window | None:
    if stored is None:
        return None
    begins, ends = (dt.time.fromisoformat(stored[name]) for name in ("begins", "ends"))
    return Window(stored["zone"], frozenset(stored["days"]), begins, ends)
