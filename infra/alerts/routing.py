"""The configuration of Alertmanager: who is told of what, and what is suppressed.

Alerts of one name are one notification. A cause is sent at once. A symptom waits `SYMPTOM_WAIT_SECONDS`, so
that the cause of it, which needs a scrape to fail, is there to suppress it: a lost zone is one page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from infra.alerts.alert import Severity
from infra.alerts.catalog import ALERTS
from infra.alerts.receivers import (
    OPSGENIE_KEY,
    PAGERDUTY_KEY,
    SECRETS_FOLDER,
    SLACK_URL,
    SMTP_PASSWORD,
    WEBHOOK_TOKEN,
)
from infra.alerts.rules import BURN_ALERTS, INHIBITION, REACH_ALL, REACH_SLOW, SLOW_BURN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from infra.alerts.alert import Alert
    from infra.alerts.receivers import ReceiverSettings

SYMPTOM_WAIT_SECONDS = 3
TICKET_WAIT_SECONDS = 30
PAGE_UPDATE_SECONDS = 60
"""What changes in a page that was sent is sent no more often than this."""
TICKET_UPDATE_SECONDS = 300
PAGE_REPEAT_HOURS, TICKET_REPEAT_HOURS = 4, 24
"""What is still firing is sent again."""
TEST_ALERT = "TestAlert"
"""Name of the alert of `esq alerts test`."""

_PAGE, _TICKET, _NONE = "page", "ticket", "none"
_DETAILS = (
    "{{ range .Alerts }}{{ .Annotations.summary }}. {{ .Annotations.impact }}"
    "\nRun: {{ .Annotations.command }}\n{{ end }}"
)
_TITLE = "{{ .CommonLabels.alertname }} in {{ .CommonLabels.environment }}"


def render_alertmanager(
    settings: ReceiverSettings, local_receiver: str, alerts: Sequence[Alert] = ALERTS
) -> str:
    """Return the configuration file of Alertmanager.

    Args:
        settings: receivers of the environment.
        local_receiver: URL of the receiver that stores what was sent; empty for none.
        alerts: alerts of the table.
    """
    document = {
        "route": _route(alerts),
        "receivers": [
            {"name": _PAGE, **_integrations(settings, local_receiver, is_page=True)},
            {"name": _TICKET, **_integrations(settings, local_receiver, is_page=False)},
            {"name": _NONE},
        ],
        "inhibit_rules": list(_inhibit_rules(alerts)),
    }
    return str(yaml.safe_dump(document, sort_keys=False, width=1000))


def _route(alerts: Sequence[Alert]) -> dict[str, Any]:
    causes = "|".join([TEST_ALERT, *(alert.name for alert in alerts if alert.inhibits)])
    page = {
        "receiver": _PAGE,
        "group_interval": f"{PAGE_UPDATE_SECONDS}s",
        "repeat_interval": f"{PAGE_REPEAT_HOURS}h",
    }
    is_page = f'severity="{Severity.PAGE}"'
    return {
        "receiver": _TICKET,
        "group_by": ["alertname", "environment", "zone"],
        "group_wait": f"{TICKET_WAIT_SECONDS}s",
        "group_interval": f"{TICKET_UPDATE_SECONDS}s",
        "repeat_interval": f"{TICKET_REPEAT_HOURS}h",
        "routes": [
            {"matchers": [f'alertname="{INHIBITION}"'], "receiver": _NONE},
            {"matchers": [is_page, f'alertname=~"{causes}"'], **page, "group_wait": "0s"},
            {"matchers": [is_page], **page, "group_wait": f"{SYMPTOM_WAIT_SECONDS}s"},
        ],
    }


def _inhibit_rules(alerts: Sequence[Alert]) -> Iterator[dict[str, Any]]:
    for alert in alerts:
        targets = {
            REACH_ALL: [f'alertname=~"{"|".join(alert.inhibits)}"'] if alert.inhibits else [],
            REACH_SLOW: _slow_burns(alert),
        }
        for reach, matchers in targets.items():
            if matchers:
                source = [f'alertname="{INHIBITION}"', f'cause="{alert.name}"', f'reach="{reach}"']
                yield {"source_matchers": source, "target_matchers": matchers, "equal": ["environment"]}


def _slow_burns(alert: Alert) -> list[str]:
    """Return what matches the slow burn rates that an alert suppresses."""
    names = [name for name in alert.inhibits if name in BURN_ALERTS]
    return [f'alertname=~"{"|".join(names)}"', f'burn="{SLOW_BURN}"'] if names else []


def _integrations(settings: ReceiverSettings, local_receiver: str, *, is_page: bool) -> dict[str, Any]:
    """Return the integrations of a receiver, by Alertmanager's name of the kind."""
    webhooks = [{"url": local_receiver, "send_resolved": True}] if local_receiver else []
    if settings.webhook:
        webhooks.append({"url": settings.webhook.url, "send_resolved": True, **_bearer(settings)})
    integrations: dict[str, Any] = {"webhook_configs": webhooks}
    if settings.slack:
        integrations["slack_configs"] = [_slack(settings.slack.channel)]
    if settings.email:
        integrations["email_configs"] = [_email(settings)]
    if is_page and settings.pagerduty:
        integrations["pagerduty_configs"] = [
            {
                "routing_key_file": _secret(PAGERDUTY_KEY),
                "description": _TITLE,
                "details": {"alerts": _DETAILS},
            }
        ]
    if is_page and settings.opsgenie:
        integrations["opsgenie_configs"] = [
            {"api_key_file": _secret(OPSGENIE_KEY), "message": _TITLE, "description": _DETAILS}
        ]
    return {kind: configs for kind, configs in integrations.items() if configs}


def _bearer(settings: ReceiverSettings) -> dict[str, Any]:
    if settings.webhook is None or not settings.webhook.authenticated:
        return {}
    return {"http_config": {"authorization": {"credentials_file": _secret(WEBHOOK_TOKEN)}}}


def _slack(channel: str) -> dict[str, Any]:
    return {
        "api_url_file": _secret(SLACK_URL),
        "channel": channel,
        "send_resolved": True,
        "title": _TITLE,
        "text": _DETAILS,
    }


def _email(settings: ReceiverSettings) -> dict[str, Any]:
    email = settings.email
    if email is None:
        return {}
    return {
        "to": email.to,
        "from": email.sender,
        "smarthost": email.server,
        "auth_username": email.username,
        "auth_password_file": _secret(SMTP_PASSWORD),
        "send_resolved": True,
        "headers": {"Subject": _TITLE},
        "text": _DETAILS,
    }


def _secret(name: str) -> str:
    return f"{SECRETS_FOLDER}/{name}"
