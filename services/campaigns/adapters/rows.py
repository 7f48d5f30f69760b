"""Rows of the queries as what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.campaigns.commands import Progress
from services.campaigns.domain import Campaign
from services.campaigns.lifecycle import Status, stage_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Row

    from services.campaigns.domain import State


def campaign_of(row: Row[Any]) -> Campaign:
    """Read a campaign's columns."""
    return Campaign(row.company, row.id, row.name, row.list_name, row.text, row.connection, row.run)


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
        start_at=row.start_at,
        note=row.note,
    )
