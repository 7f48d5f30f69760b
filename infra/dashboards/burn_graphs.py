"""Queries of burn rates: how fast the error budgets of 30 days are used up."""

from __future__ import annotations

from infra.alerts.burn_rates import (
    ALL_PER_MINUTE,
    BAD_PER_MINUTE,
    FAST,
    INDICATORS,
    WINDOWS,
    Indicator,
    Window,
)
from infra.dashboards.graphs import Graph, Query


def burn_query(indicator: Indicator, window: Window) -> str:
    """Return the MetricsQL of a burn rate over the long window: 1 uses up the budget in 30 days.

    Args:
        indicator: what is counted.
        window: its windows.
    """
    if window is FAST:
        bad, total = indicator.bad_events(window.long), indicator.all_events(window.long)
    else:
        bad, total = (
            f'sum(avg_over_time({metric}{{indicator="{indicator.alert}"}}[{window.long}]))'
            for metric in (BAD_PER_MINUTE, ALL_PER_MINUTE)
        )
    return f"{bad} / {total} / {indicator.allowed:g}"


BURN_RATES = tuple(
    Graph(
        indicator.alert,
        "times the allowed rate",
        tuple(
            Query(burn_query(indicator, window), f"{window.long}, alert above {window.label}")
            for window in WINDOWS
        ),
        "1 uses up the budget of 30 days in 30 days.",
    )
    for indicator in INDICATORS
)
