"""From a fault to the page, with the real programs: every wait is one of theirs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.alert_faults import FAULT_BY_ALERT
from tests.servers.live_alerts import LiveAlerts
from tests.servers.process import wait_until

pytestmark = pytest.mark.contract

PAGE_TIMEOUT_SECONDS = 60.0
"""On a quiet machine 15 s: `benchmarks/alerts.py` measures it."""
CONSEQUENCES = ("PostgresDown", "ApiAvailability")


@pytest.fixture(scope="module")
def live() -> Iterator[LiveAlerts]:
    with LiveAlerts() as live:
        yield live


def test_lost_zone_is_one_page_that_says_what_to_do(live: LiveAlerts) -> None:
    live.break_by(*(FAULT_BY_ALERT[name] for name in ("ZoneDown", *CONSEQUENCES)))
    live.wait_for_page("ZoneDown", PAGE_TIMEOUT_SECONDS)
    wait_until(
        "the suppression of the consequences",
        lambda: all(live.states().get(name) == "suppressed" for name in CONSEQUENCES),
        PAGE_TIMEOUT_SECONDS,
    )
    assert live.pages() == ["ZoneDown"]
    assert live.states()["ZoneDown"] == "active"
    page = next(record for record in live.received() if record["labels"]["alertname"] == "ZoneDown")
    assert page["annotations"]["summary"] == "Nothing in zone zone-a answers"
    assert page["annotations"]["command"] == "esq runbook run zone-down test"
