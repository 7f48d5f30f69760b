"""Alerts of an environment: what fires, silences, and a test of the receivers."""

from __future__ import annotations

import datetime as dt
import getpass
import json
import time
from typing import TYPE_CHECKING, Any, Protocol

from infra.alerts.catalog import ALERT_BY_NAME, ALERTS, Source
from infra.alerts.routing import TEST_ALERT
from infra.alerts.rules import rule_groups
from infra.components.observability import ALERTMANAGER
from infra.errors import EsqError, UsageError
from infra.validation import suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cli.observability_client import FiringAlert
    from runbooks.readings import Sample

MAX_SILENCE_SECONDS = 7 * 86_400
"""A longer silence is a change of the rule."""
TEST_TIMEOUT_SECONDS = 90.0
"""A group of tickets waits 30 s, and the counters are scraped every 15 s by each VictoriaMetrics."""
_POLL_INTERVAL_SECONDS = 2.0
_COUNTERS = (
    "alertmanager_notifications_total",
    "alertmanager_notification_requests_total",
    "alertmanager_notification_requests_failed_total",
)
"""Notifications that were begun, attempts that ended, and those of them that failed: a notification counts as
failed only after all of its attempts, minutes later."""


class AlertsClient(Protocol):
    """What these actions need of the observability layer."""

    def alerts(self) -> list[FiringAlert]:
        """Return the firing alerts."""

    def metrics_query(self, query: str) -> list[Sample]:
        """Return the result of a query."""

    def request(
        self,
        method: str,
        part: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
    ) -> str:
        """Send a request to a part of the layer and return the text of the response.

        Args:
            method: HTTP method.
            part: a key of `infra.components.observability.PATHS`.
            path: path on its server.
            query: parameters of the query.
            body: value that is sent as JSON.
        """


def alert_rows(client: AlertsClient) -> list[dict[str, Any]]:
    """Return the firing alerts, pages first, then the oldest, with their runbooks."""
    rows = [
        {
            "alert": alert.name,
            "severity": alert.labels.get("severity", ""),
            "state": alert.state,
            "started_at": alert.started_at.isoformat(timespec="seconds"),
            "summary": alert.annotations.get("summary", ""),
            "runbook": ALERT_BY_NAME[alert.name].slug if alert.name in ALERT_BY_NAME else "",
            "labels": dict(alert.labels),
            "silenced_by": list(alert.silenced_by),
            "inhibited_by": list(alert.inhibited_by),
        }
        for alert in client.alerts()
    ]
    return sorted(rows, key=lambda row: (row["severity"] != "page", row["started_at"]))


def rule_rows(environment: str) -> list[dict[str, Any]]:
    """Return the rules of an environment; alerts that commands find have no expression."""
    rules = [
        {
            "alert": rule["alert"],
            "severity": rule["labels"]["severity"],
            "burn": rule["labels"].get("burn", ""),
            "interval": group["interval"],
            "for": rule.get("for", "0s"),
            "expression": rule["expr"],
            "experiment": rule["annotations"].get("experiment", ""),
        }
        for group in rule_groups(environment)
        for rule in group["rules"]
        if rule.get("alert") in ALERT_BY_NAME
    ]
    commands = [
        {
            "alert": alert.name,
            "severity": str(alert.severity),
            "burn": "",
            "interval": "",
            "for": "",
            "expression": "",
            "experiment": alert.experiment or "",
        }
        for alert in ALERTS
        if alert.source is Source.COMMAND
    ]
    return rules + commands


def silence(client: AlertsClient, name: str, seconds: float, comment: str) -> str:
    """Silence an alert and return the id of the silence.

    Args:
        client: client of the layer.
        name: name of the alert.
        seconds: duration.
        comment: why, for the next reader.

    Raises:
        UsageError: there is no such alert, or the duration is too long.
    """
    if name not in ALERT_BY_NAME:
        remedy = f"{suggest(name, ALERT_BY_NAME)}See `esq alerts rules ENV`."
        raise UsageError(f"there is no alert `{name}`", location="NAME", remedy=remedy)
    if not 0 < seconds <= MAX_SILENCE_SECONDS:
        raise UsageError(
            f"a silence lasts at most {MAX_SILENCE_SECONDS // 86_400} days",
            location="--for",
            remedy="Choose a shorter time; change or remove the rule of an alert that nobody needs.",
        )
    now = dt.datetime.now(dt.UTC)
    body = {
        "matchers": [{"name": "alertname", "value": name, "isRegex": False, "isEqual": True}],
        "startsAt": now.isoformat(),
        "endsAt": (now + dt.timedelta(seconds=seconds)).isoformat(),
        "createdBy": getpass.getuser(),
        "comment": comment,
    }
    response = client.request("POST", ALERTMANAGER, "/api/v2/silences", body=body)
    return str(json.loads(response)["silenceID"])


def expire_silence(client: AlertsClient, silence_id: str) -> None:
    """End a silence.

    Args:
        client: client of the layer.
        silence_id: id of the silence.
    """
    client.request("DELETE", ALERTMANAGER, f"/api/v2/silence/{silence_id}")


def send_test(
    client: AlertsClient,
    environment: str,
    severity: str,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[dict[str, Any]]:
    """Send a test alert and wait until the receivers have it.

    Args:
        client: client of the layer.
        environment: name of the environment.
        severity: `page` or `ticket`, which have different receivers.
        clock: monotonic time in seconds.
        sleep: waits, in seconds.

    Returns:
        By integration how many attempts succeeded and how many failed since the alert; neither for one that
        has not answered in time.

    Raises:
        EsqError: nothing was sent in time.
    """
    before = _counts(client)
    body = [_test_alert(environment, severity, dt.datetime.now(dt.UTC))]
    client.request("POST", ALERTMANAGER, "/api/v2/alerts", body=body)
    deadline = clock() + TEST_TIMEOUT_SECONDS
    while not _is_complete(rows := _differences(before, _counts(client))) and clock() <= deadline:
        sleep(_POLL_INTERVAL_SECONDS)
    if not rows:
        raise EsqError(
            f"no receiver was told of the test alert within {TEST_TIMEOUT_SECONDS:.0f} s",
            location=ALERTMANAGER,
            remedy=f"Read its log: `esq logs {environment} alertmanager`.",
        )
    return rows


def _test_alert(environment: str, severity: str, now: dt.datetime) -> dict[str, Any]:
    labels = {
        "alertname": TEST_ALERT,
        "severity": severity,
        "environment": environment,
        "sent": f"{now:%H%M%S}",
    }
    return {
        "labels": labels,
        "annotations": {"summary": "A test: nothing is wrong", "impact": "None", "command": "none"},
        "startsAt": now.isoformat(),
        "endsAt": (now + dt.timedelta(minutes=5)).isoformat(),
    }


def _is_complete(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether every integration that was told has answered."""
    return bool(rows) and all(row["sent"] or row["failed"] for row in rows)


def _counts(client: AlertsClient) -> list[dict[str, float]]:
    """Return the value of each of `_COUNTERS` by integration."""
    return [
        {
            sample.labels["integration"]: sample.value
            for sample in client.metrics_query(f"sum by (integration) ({counter})")
        }
        for counter in _COUNTERS
    ]


def _differences(
    before: Sequence[Mapping[str, float]], after: Sequence[Mapping[str, float]]
) -> list[dict[str, Any]]:
    rows = []
    for name in sorted(after[0]):
        begun, ended, failed = (
            int(new.get(name, 0.0) - old.get(name, 0.0)) for old, new in zip(before, after, strict=True)
        )
        if begun or ended:
            rows.append({"integration": name, "sent": ended - failed, "failed": failed})
    return rows
