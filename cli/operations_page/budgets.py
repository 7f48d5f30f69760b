"""Panel of the error budgets: how fast each is used up, over the windows of its alert."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.operations_page.panel import Content
from cli.operations_page.rendering import render
from infra.alerts.alert import alert_slug
from infra.alerts.burn_rates import INDICATORS, WINDOWS, Indicator, Window
from infra.dashboards.burn_graphs import burn_query
from services.contracts.slo import PERIOD_DAYS

if TYPE_CHECKING:
    from cli.operations_page.telemetry import Telemetry

_DAYS = {"h": 1 / 24, "d": 1.0}
"""Days by unit of a window."""


@dataclass(frozen=True)
class Burn:
    """The burn rate of a budget over a window.

    Attributes:
        window: the window.
        rate: burn rate; NaN without any event, None without any measurement.
    """

    window: Window
    rate: float | None

    @property
    def is_too_fast(self) -> bool:
        """Whether its alert would fire, were the short window above its limit too."""
        return self.rate is not None and self.rate > self.window.burn

    @property
    def text(self) -> str:
        """The rate in words."""
        if self.rate is None:
            return "not measured"
        return "no events" if math.isnan(self.rate) else f"{self.rate:.2f}"

    @property
    def used_percent(self) -> float | None:
        """Share of the budget of 30 days that was used in the window, in percent; None if it is not known."""
        if self.rate is None or math.isnan(self.rate):
            return None
        count, unit = self.window.long[:-1], self.window.long[-1]
        return 100 * self.rate * float(count) * _DAYS[unit] / PERIOD_DAYS


def budgets_content(telemetry: Telemetry) -> Content:
    """Return the panel.

    Args:
        telemetry: source of the metrics.
    """
    rows = [
        (indicator.alert, alert_slug(indicator.alert), _burns(telemetry, indicator))
        for indicator in INDICATORS
    ]
    problems = [
        f"{alert}: its budget burns {burn.text} times as fast as allowed over {burn.window.long}"
        for alert, _, burns in rows
        for burn in burns
        if burn.is_too_fast
    ]
    return Content(render("budgets", rows=rows, windows=WINDOWS), tuple(problems))


def _burns(telemetry: Telemetry, indicator: Indicator) -> list[Burn]:
    burns = []
    for window in WINDOWS:
        samples = telemetry.metrics_query(burn_query(indicator, window))
        burns.append(Burn(window, samples[0].value if samples else None))
    return burns
