"""Rules of vmalert, made from the table of alerts.

Three kinds of groups: recordings, once a minute; alerts that page, every 5 s; alerts that make a ticket.
An alert with consequences has companions called `Inhibition`: they fire with it and are never sent, but
Alertmanager suppresses the consequences while they fire. A companion begins to fire only while its alert is
new, so that an outage later in a long loss of a zone still pages, and goes on for a while after it, because
burn rates end later than their cause.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from infra.alerts.alert import Severity, Source
from infra.alerts.anomalies import signal_recordings
from infra.alerts.burn_rates import FAST, INDICATORS, WINDOWS, burn_expression, recordings
from infra.alerts.catalog import ALERT_BY_NAME, ALERTS
from infra.alerts.presence import absence_expressions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from infra.alerts.alert import Alert
    from infra.alerts.burn_rates import Window

PAGE_INTERVAL_SECONDS = 5
"""Also the interval of scrapes: evaluating more often would see the same values."""
TICKET_INTERVAL_SECONDS = 15
RECORDING_INTERVAL_SECONDS = 60
KEEP_FIRING_SECONDS = 30
"""An alert whose expression is false for less than this does not end and begin again."""
NEW_SECONDS = 600
"""An alert suppresses its consequences that begin within this time."""
INHIBITION = "Inhibition"
"""Name of the companions."""
_RULE_CONCURRENCY = 4
"""Queries of a group at the same time: ten times the rules must not make a page late."""

REACH_ALL, REACH_SLOW = "all", "slow_burn"
_KEEP_INHIBITING_SECONDS = {REACH_ALL: 330, REACH_SLOW: 1860}
"""A burn rate goes on for the length of its short window after its cause: 5 and 30 minutes."""

BURN_ALERTS = frozenset(indicator.alert for indicator in INDICATORS)
SLOW_BURN = next(window for window in WINDOWS if window is not FAST).label


def render_rules(environment: str, alerts: Sequence[Alert] = ALERTS) -> str:
    """Return the file of rules for vmalert.

    Args:
        environment: name of the environment, a label of every alert.
        alerts: alerts of the table.
    """
    return str(yaml.safe_dump({"groups": rule_groups(environment, alerts)}, sort_keys=False, width=1000))


def rule_groups(environment: str, alerts: Sequence[Alert] = ALERTS) -> list[dict[str, Any]]:
    """Return the groups of rules; those that suppress others come first.

    Args:
        environment: name of the environment, a label of every alert.
        alerts: alerts of the table.
    """
    rules = [
        rule for alert in alerts if alert.source is Source.RULE for rule in alert_rules(alert, environment)
    ]
    inhibitions = [rule for alert in alerts for rule in _inhibitions(alert, environment)]
    by_severity = {
        severity: [rule for rule in rules if rule["labels"]["severity"] == severity] for severity in Severity
    }
    return [
        _group("recordings", RECORDING_INTERVAL_SECONDS, list(_recordings())),
        _group("pages", PAGE_INTERVAL_SECONDS, inhibitions + by_severity[Severity.PAGE]),
        _group("tickets", TICKET_INTERVAL_SECONDS, by_severity[Severity.TICKET]),
    ]


def alert_rules(alert: Alert, environment: str) -> Iterator[dict[str, Any]]:
    """Yield the rules of an alert: one, or one per window of a burn rate or per absent metric.

    Args:
        alert: alert of the table.
        environment: name of the environment.
    """
    for indicator in INDICATORS:
        for window in WINDOWS if indicator.alert == alert.name else ():
            yield _rule(alert, environment, burn_expression(indicator, window), window)
    if alert.expression:
        yield _rule(alert, environment, alert.expression)
    if alert.name == "TelemetryMissing":
        yield from (_rule(alert, environment, expression) for expression in absence_expressions())


def _rule(alert: Alert, environment: str, expression: str, window: Window | None = None) -> dict[str, Any]:
    labels = {
        "severity": str(window.severity if window else alert.severity),
        "owner": str(alert.owner),
        "environment": environment,
        **({"slo": alert.slo} if alert.slo else {}),
        **({"burn": window.label} if window else {}),
    }
    annotations = {
        "summary": alert.summary,
        "impact": alert.impact,
        "runbook": f"runbooks/{alert.slug}.md",
        "command": f"esq runbook run {alert.slug} {environment}",
        **({"experiment": alert.experiment} if alert.experiment else {"unproven": alert.unproven}),
    }
    return {
        "alert": alert.name,
        "expr": expression,
        **({"for": f"{alert.for_seconds}s"} if alert.for_seconds else {}),
        "keep_firing_for": f"{KEEP_FIRING_SECONDS}s",
        "labels": labels,
        "annotations": annotations,
    }


def _inhibitions(alert: Alert, environment: str) -> Iterator[dict[str, Any]]:
    """Yield the companions of an alert with consequences."""
    reaches = [REACH_ALL, REACH_SLOW] if BURN_ALERTS.intersection(alert.inhibits) else [REACH_ALL]
    for reach in reaches if alert.inhibits else ():
        # vmalert writes the time since when an alert is active; it is absent in the first evaluation.
        age = f'min(time() - ALERTS_FOR_STATE{{alertname="{alert.name}"}})'
        is_old = f"{age} > {NEW_SECONDS + alert.for_seconds}"
        yield {
            "alert": INHIBITION,
            "expr": f"(count({alert.expression}) > 0) unless on() ({is_old})",
            **({"for": f"{alert.for_seconds}s"} if alert.for_seconds else {}),
            "keep_firing_for": f"{_KEEP_INHIBITING_SECONDS[reach]}s",
            "labels": {"cause": alert.name, "reach": reach, "severity": "none", "environment": environment},
            "annotations": {"summary": f"{alert.name} suppresses its consequences"},
        }


def _recordings() -> Iterator[dict[str, Any]]:
    for indicator in INDICATORS:
        for metric, expression in recordings(indicator).items():
            yield {"record": metric, "expr": expression, "labels": {"indicator": indicator.alert}}
    yield from signal_recordings()


def _group(name: str, interval_seconds: int, rules: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "interval": f"{interval_seconds}s",
        "concurrency": _RULE_CONCURRENCY,
        "rules": rules,
    }


def inhibited_by(name: str) -> tuple[str, ...]:
    """Return the names of the alerts that suppress an alert."""
    return tuple(alert.name for alert in ALERT_BY_NAME.values() if name in alert.inhibits)
