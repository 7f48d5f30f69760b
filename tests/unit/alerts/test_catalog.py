"""The table of alerts is complete and consistent."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.alerts.catalog import ALERT_BY_NAME, ALERT_BY_SLUG, ALERTS, Alert, Source, alert_slug
from services.contracts.slo import SLO_BY_ID

_EXPERIMENTS = {path.stem for path in (Path(__file__).parents[3] / "chaos" / "experiments").glob("*.yaml")}


@pytest.mark.parametrize(
    ("name", "slug"),
    [("PostgresDown", "postgres-down"), ("CaExpiring", "ca-expiring"), ("ApiLatency", "api-latency")],
)
def test_slug_separates_the_words_of_a_name(name: str, slug: str) -> None:
    assert alert_slug(name) == slug


def test_names_and_slugs_are_unique() -> None:
    assert len(ALERT_BY_NAME) == len(ALERT_BY_SLUG) == len(ALERTS)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_alert_names_its_experiment_or_why_it_has_none(alert: Alert) -> None:
    assert bool(alert.experiment) != bool(alert.unproven)
    assert alert.experiment is None or alert.experiment in _EXPERIMENTS


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_alert_inhibits_other_rules_of_the_table(alert: Alert) -> None:
    for name in alert.inhibits:
        assert name != alert.name
        assert ALERT_BY_NAME[name].source is Source.RULE


def test_slos_of_alerts_exist() -> None:
    assert {alert.slo for alert in ALERTS if alert.slo} <= set(SLO_BY_ID)


def test_no_two_alerts_inhibit_each_other() -> None:
    pairs = {(alert.name, name) for alert in ALERTS for name in alert.inhibits}
    assert not {pair for pair in pairs if pair[::-1] in pairs}
