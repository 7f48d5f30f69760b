"""Panel of the firing alerts, each with its runbook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.operations_page.panel import Content
from cli.operations_page.rendering import render
from infra.alerts.catalog import ALERT_BY_NAME, Severity

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from cli.observability_client import FiringAlert

_HIDDEN_LABELS = frozenset({"alertname", "alertgroup", "severity", "owner", "environment"})


@dataclass(frozen=True)
class AlertRow:
    """A firing alert.

    Attributes:
        name: name in the catalog.
        severity: `page` or `ticket`.
        summary: what fires, in a sentence.
        impact: what users notice.
        labels: what else identifies it.
        started_at: since when (UTC).
        suppressed: why nobody is told; empty if somebody is.
        runbook: name of its runbook; empty without one.
    """

    name: str
    severity: str
    summary: str
    impact: str
    labels: str
    started_at: dt.datetime
    suppressed: str
    runbook: str

    @property
    def is_page(self) -> bool:
        """Whether it wakes a person."""
        return self.severity == Severity.PAGE and not self.suppressed


def alerts_content(alerts: Sequence[FiringAlert], blindness: str = "") -> Content:
    """Return the panel: pages first, then tickets, then what is suppressed; the newest first.

    Args:
        alerts: the firing alerts.
        blindness: why no alert can fire; empty if they can.
    """
    newest = sorted((_row(alert) for alert in alerts), key=lambda row: row.started_at, reverse=True)
    rows = sorted(newest, key=lambda row: (bool(row.suppressed), not row.is_page))
    problems = [blindness] if blindness else []
    problems += [f"{row.name}: {row.summary}" for row in rows if row.is_page]
    return Content(render("alerts", rows=rows, is_blind=bool(blindness)), tuple(problems))


def _row(alert: FiringAlert) -> AlertRow:
    known = ALERT_BY_NAME.get(alert.name)
    labels = {name: value for name, value in alert.labels.items() if name not in _HIDDEN_LABELS}
    reasons = {"silenced": alert.silenced_by, "a consequence of another alert": alert.inhibited_by}
    return AlertRow(
        name=alert.name,
        severity=alert.labels.get("severity") or (known.severity.value if known else "unknown"),
        summary=alert.annotations.get("summary") or (known.summary if known else "not in the catalog"),
        impact=known.impact if known else "",
        labels=", ".join(f"{name} {value}" for name, value in sorted(labels.items())),
        started_at=alert.started_at,
        suppressed=", ".join(reason for reason, ids in reasons.items() if ids),
        runbook=known.slug if known else "",
    )
