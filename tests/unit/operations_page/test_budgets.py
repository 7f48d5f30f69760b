"""Panel of error budgets: burn rates over the windows of their alerts."""

from __future__ import annotations

import re

from cli.operations_page.budgets import budgets_content
from cli.operations_page.fakes import FakeTelemetry
from infra.alerts.burn_rates import INDICATORS, WINDOWS
from infra.dashboards.burn_graphs import burn_query
from runbooks.readings import Sample


def telemetry_with(rate: float) -> FakeTelemetry:
    """Return a layer with the same burn rate for all budgets and windows."""
    queries = [burn_query(indicator, window) for indicator in INDICATORS for window in WINDOWS]
    return FakeTelemetry(samples={query: [Sample({}, rate)] for query in queries})


def test_slow_burn_is_no_problem() -> None:
    content = budgets_content(telemetry_with(0.5))
    assert content.problems == ()
    assert content.html.count("0.50") == len(INDICATORS) * len(WINDOWS)
    assert re.findall(r"([\d.]+) % of the budget", content.html)[:3] == ["0.07", "0.42", "5"]


def test_fast_burn_is_a_problem_in_the_windows_whose_limit_it_exceeds() -> None:
    content = budgets_content(telemetry_with(7.0))
    windows = {re.findall(r"over (\w+)$", problem)[0] for problem in content.problems}
    assert windows == {"6h", "3d"}
    assert content.problems[0] == "ApiAvailability: its budget burns 7.00 times as fast as allowed over 6h"
    assert '<a href="#/runbook/api-availability">' in content.html


def test_no_measurement_is_said_in_words() -> None:
    assert budgets_content(FakeTelemetry()).html.count("not measured") == len(INDICATORS) * len(WINDOWS)


def test_no_events_are_said_in_words() -> None:
    content = budgets_content(telemetry_with(float("nan")))
    assert content.problems == ()
    assert "no events" in content.html
