"""Rehearsals of runbooks: when one is overdue, and until when a runbook may do without any."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runbooks.page import FrontMatter

REHEARSED_BY = dt.date(2027, 3, 1)
"""From this day on, a runbook that was never rehearsed is a failure of `esq runbook check`."""


def rehearsal_problem(front_matter: FrontMatter, today: dt.date) -> str:
    """Return what is wrong with the rehearsal of a runbook; empty for nothing.

    Args:
        front_matter: of the runbook.
        today: the current day (UTC).
    """
    last = front_matter.rehearsed
    if last is None:
        return f"was never rehearsed; it must be by {REHEARSED_BY}"
    if last.result == "failed":
        return f"its rehearsal of {last.date} failed"
    age = (today - last.date).days
    limit = front_matter.max_age_days
    return f"its last rehearsal is {age} days old, the limit is {limit}" if age > limit else ""


def is_tolerated(front_matter: FrontMatter, today: dt.date) -> bool:
    """Return whether the problem is only that a runbook was not rehearsed yet, before `REHEARSED_BY`.

    Args:
        front_matter: of the runbook.
        today: the current day (UTC).
    """
    return front_matter.rehearsed is None and today < REHEARSED_BY


def rehearsal_text(front_matter: FrontMatter, today: dt.date) -> str:
    """Return the last rehearsal in a few words.

    Args:
        front_matter: of the runbook.
        today: the current day (UTC).
    """
    last = front_matter.rehearsed
    if last is None:
        return "never"
    overdue = ", overdue" if (today - last.date).days > front_matter.max_age_days else ""
    return f"{last.result} {last.date}{overdue}"
