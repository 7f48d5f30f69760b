"""Which alerts belong to one fault: those of one runbook, and those that one of them inhibits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.alerts.catalog import ALERT_BY_NAME, ALERT_BY_SLUG

if TYPE_CHECKING:
    from collections.abc import Iterable

UNKNOWN = "unknown-outage"
"""Runbook of an alert that is not in the table of alerts."""


def runbook_of(alert: str) -> str:
    """Return the name of the runbook of an alert."""
    return ALERT_BY_NAME[alert].slug if alert in ALERT_BY_NAME else UNKNOWN


def is_same_fault(runbook: str, alerts: Iterable[str], other: str) -> bool:
    """Return whether an alert belongs to the fault of a run.

    Args:
        runbook: runbook of the run.
        alerts: names of its alerts.
        other: name of the alert.
    """
    if runbook_of(other) == runbook:
        return True
    names = {*alerts, *([ALERT_BY_SLUG[runbook].name] if runbook in ALERT_BY_SLUG else [])}
    return other in names or any(_inhibits(name, other) or _inhibits(other, name) for name in names)


def _inhibits(cause: str, consequence: str) -> bool:
    return cause in ALERT_BY_NAME and consequence in ALERT_BY_NAME[cause].inhibits
