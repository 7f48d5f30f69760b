"""Something is wrong that no other check explains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.alerts.catalog import ALERT_BY_NAME, Severity
from runbooks.actions import COMPARE, UNDO_FAULTS, WATCH
from runbooks.check import Check, Finding, change_steps, read_steps, verify_steps

if TYPE_CHECKING:
    from runbooks.check import CheckContext


def find(context: CheckContext) -> Finding | None:
    """Return the alerts that page and that the catalog does not know."""
    unknown = [
        alert for alert in context.alerts() if _is_unknown_page(alert.name, alert.labels.get("severity", ""))
    ]
    if not unknown:
        return None
    evidence = tuple(f"{alert.name} since {alert.started_at:%H:%M:%S} UTC" for alert in unknown)
    return Finding(f"alerts of others page: {', '.join(alert.name for alert in unknown)}", evidence)


def _is_unknown_page(name: str, severity: str) -> bool:
    return name not in ALERT_BY_NAME and severity == Severity.PAGE


CHECK = Check("unknown-outage", "Whether an alert pages that the catalog does not know.", find)
STEPS = (*read_steps(CHECK), *change_steps(WATCH, UNDO_FAULTS, COMPARE), *verify_steps(CHECK))
