"""The table of all alerts. Each has a runbook `runbooks/SLUG.md`."""

from __future__ import annotations

from dataclasses import replace

from infra.alerts.alert import Alert, Owner, Severity, Source, alert_slug
from infra.alerts.data_services import KAFKA, OBJECT_STORE, POSTGRES, REDIS
from infra.alerts.expressions import EXPRESSIONS
from infra.alerts.messaging import MESSAGING
from infra.alerts.platform import PLATFORM

__all__ = ["ALERTS", "ALERT_BY_NAME", "ALERT_BY_SLUG", "Alert", "Owner", "Severity", "Source", "alert_slug"]

_MEANINGS = (*POSTGRES, *REDIS, *KAFKA, *OBJECT_STORE, *PLATFORM, *MESSAGING)

ALERTS = tuple(replace(alert, expression=EXPRESSIONS.get(alert.name, "")) for alert in _MEANINGS)
ALERT_BY_NAME = {alert.name: alert for alert in ALERTS}
ALERT_BY_SLUG = {alert.slug: alert for alert in ALERTS}
