"""Checks of alerts that only the rules of the observability layer find: slow, late, unusual, lost."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from infra.alerts.catalog import ALERT_BY_SLUG
from runbooks.check import Check, Finding
from runbooks.components import known_zones

if TYPE_CHECKING:
    from runbooks.check import CheckContext

_HIDDEN_LABELS = frozenset({"alertname", "severity", "owner", "runbook"})


def rule_check(slug: str, description: str) -> Check:
    """Return the check whether the rule of an alert fires.

    Args:
        slug: the slug of the alert.
        description: what it asks, as a sentence.
    """
    return Check(slug, description, partial(firing, slug=slug))


def firing(context: CheckContext, slug: str) -> Finding | None:
    """Return a finding if the alert fires.

    Args:
        context: the environment.
        slug: the slug of the alert.
    """
    alert = ALERT_BY_SLUG[slug]
    active = [entry for entry in context.alerts() if entry.name == alert.name]
    if not active:
        return None
    lines = [
        f"since {entry.started_at:%H:%M:%S} UTC: "
        + ", ".join(f"{key}={value}" for key, value in entry.labels.items() if key not in _HIDDEN_LABELS)
        for entry in active
    ]
    zones = known_zones(entry.labels.get("zone") for entry in active)
    return Finding(f"the alert {alert.name} fires: {alert.impact.rstrip('.')}", tuple(lines), zones)
