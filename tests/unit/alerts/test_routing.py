"""The configuration of Alertmanager."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from infra.alerts.receivers import EmailReceiver, ReceiverSettings, SlackReceiver, WebhookReceiver
from infra.alerts.routing import render_alertmanager

LOCAL = "http://127.0.0.1:9095/"
ALL = ReceiverSettings(
    webhook=WebhookReceiver(url="https://hooks.example.org/esq", authenticated=True),
    slack=SlackReceiver(channel="#esq"),
    email=EmailReceiver(
        to="oncall@example.org", sender="esq@example.org", server="mail.example.org:587", username="esq"
    ),
    pagerduty=True,
    opsgenie=True,
)


def _receivers(settings: ReceiverSettings, local: str = LOCAL) -> dict[str, Any]:
    document = yaml.safe_load(render_alertmanager(settings, local))
    return {receiver["name"]: receiver for receiver in document["receivers"]}


def test_pages_go_to_all_receivers_and_tickets_wake_nobody() -> None:
    receivers = _receivers(ALL)
    assert set(receivers["page"]) - set(receivers["ticket"]) == {"pagerduty_configs", "opsgenie_configs"}
    assert set(receivers["ticket"]) == {"name", "webhook_configs", "slack_configs", "email_configs"}


def test_without_settings_only_the_local_receiver_is_told() -> None:
    receivers = _receivers(ReceiverSettings())
    assert receivers["page"]["webhook_configs"] == [{"url": LOCAL, "send_resolved": True}]
    assert _receivers(ReceiverSettings(), local="")["page"] == {"name": "page"}


def test_secrets_are_files() -> None:
    text = render_alertmanager(ALL, LOCAL)
    assert set(ALL.secrets) == {
        "webhook-token",
        "slack-url",
        "pagerduty-key",
        "opsgenie-key",
        "smtp-password",
    }
    for name in ALL.secrets:
        assert f"_file: /etc/alertmanager/secrets/{name}\n" in text
    assert not ReceiverSettings().secrets


@pytest.mark.parametrize("url", ["https://user:password@example.org/", "ftp://example.org", ""])
def test_url_with_credentials_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        WebhookReceiver(url=url)


def test_causes_are_sent_at_once_and_symptoms_wait_for_them() -> None:
    routes = yaml.safe_load(render_alertmanager(ALL, LOCAL))["route"]["routes"]
    causes, symptoms = routes[1], routes[2]
    assert "ZoneDown" in causes["matchers"][1]
    assert "ApiAvailability" not in causes["matchers"][1]
    assert (causes["group_wait"], symptoms["group_wait"]) == ("0s", "3s")


def test_lost_zone_suppresses_its_consequences_and_the_slow_burns_after_it() -> None:
    rules = yaml.safe_load(render_alertmanager(ALL, LOCAL))["inhibit_rules"]
    zone = [rule for rule in rules if 'cause="ZoneDown"' in rule["source_matchers"]]
    assert [rule["source_matchers"][2] for rule in zone] == ['reach="all"', 'reach="slow_burn"']
    assert "PostgresDown" in zone[0]["target_matchers"][0]
    assert zone[1]["target_matchers"][1] == 'burn="6"'
