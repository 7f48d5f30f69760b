"""The table of alerts is complete and consistent."""

from __future__ import annotations

import pytest

from infra.alerts.catalog import ALERT_BY_NAME, ALERT_BY_SLUG, ALERTS, alert_slug


@pytest.mark.parametrize(
    ("name", "slug"),
    [("PostgresDown", "postgres-down"), ("CaExpiring", "ca-expiring"), ("ApiLatency", "api-latency")],
)
def test_slug_separates_the_words_of_a_name(name: str, slug: str) -> None:
    assert alert_slug(name) == slug


def test_names_and_slugs_are_unique() -> None:
    assert len(ALERT_BY_NAME) == len(ALERT_BY_SLUG) == len(ALERTS)


def test_no_two_alerts_inhibit_each_other() -> None:
    pairs = {(alert.name, name) for alert in ALERTS for name in alert.inhibits}
    assert not {pair for pair in pairs if pair[::-1] in pairs}
