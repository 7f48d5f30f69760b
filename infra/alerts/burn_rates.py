"""Burn-rate alerts: how fast an error budget is used up.

The burn rate is the share of bad events, divided by the share that the objective allows. An alert has two
windows: the long one says that the loss matters, the short one that it goes on, so that the alert ends soon
after its cause. Windows and rates are those of the SRE workbook, chapter 5: two pages, one ticket.

Two guards keep quiet hours quiet: without `MIN_BAD_EVENTS` in the long window, a share says nothing; and
`presence` is absent only when nobody counts, which `TelemetryMissing` reports, because a missing series
looks like an objective that is met.
"""

from __future__ import annotations

from dataclasses import dataclass

from infra.alerts.alert import Severity
from services.contracts import telemetry
from services.contracts.slo import AVAILABILITY

MIN_BAD_EVENTS = 10
"""Fewer bad events in the long window never fire: at 3 in the morning one of 20 requests is 5 %."""
_SLOW_SHARE = 0.01
"""SLOs of latency are 99th percentiles: one event of a hundred may be slower."""


@dataclass(frozen=True)
class Window:
    """A pair of windows.

    Attributes:
        burn: burn rate above which it fires.
        long: long window, a MetricsQL duration.
        short: short window, a twelfth of it.
        severity: who is told.
    """

    burn: float
    long: str
    short: str
    severity: Severity

    @property
    def label(self) -> str:
        """Value of the label `burn`."""
        return f"{self.burn:g}"


WINDOWS = (
    Window(14.4, "1h", "5m", Severity.PAGE),
    Window(6, "6h", "30m", Severity.PAGE),
    Window(1, "3d", "6h", Severity.TICKET),
)
FAST = WINDOWS[0]
"""Its windows are short enough to read the counters themselves; the others read one value a minute."""


@dataclass(frozen=True)
class Indicator:
    """What an objective counts.

    Attributes:
        alert: name of its alert in the catalog.
        allowed: share of bad events that the objective allows.
        total: counter of all events, with its label filter.
        bad: counter of bad events; empty when `within` is given.
        within: counter of the events within the objective; empty when `bad` is given.
        presence: metric that every process exports that counts these events.
    """

    alert: str
    allowed: float
    total: str
    presence: str
    bad: str = ""
    within: str = ""

    def bad_events(self, window: str) -> str:
        """Return the expression of the bad events in a window; 0 without any."""
        if self.bad:
            return f"(sum(increase({self.bad}[{window}])) default 0)"
        return f"(sum(increase({self.total}[{window}])) - (sum(increase({self.within}[{window}])) default 0))"

    def all_events(self, window: str) -> str:
        """Return the expression of all events in a window."""
        return f"sum(increase({self.total}[{window}]))"


_REPLIES = '{priority="reply"}'
_HTTP, _WAIT = telemetry.HTTP_REQUEST_DURATION.name, telemetry.MESSAGE_WAIT.name

INDICATORS = (
    Indicator(
        "ApiAvailability",
        1 - AVAILABILITY,
        f"{_HTTP}_count",
        telemetry.HTTP_IN_FLIGHT.name,
        bad=f'{_HTTP}_count{{status_class="5xx"}}',
    ),
    Indicator(
        "ApiLatency",
        _SLOW_SHARE,
        f'{_HTTP}_count{{status_class!="5xx"}}',
        telemetry.HTTP_IN_FLIGHT.name,
        within=f'{_HTTP}_bucket{{status_class!="5xx", le=~"1|1.0"}}',
    ),
    Indicator(
        "DeliveryLatency",
        _SLOW_SHARE,
        f"{_WAIT}_count{_REPLIES}",
        telemetry.SEND_IN_FLIGHT.name,
        within=f'{_WAIT}_bucket{{priority="reply", le="2.5"}}',
    ),
)
"""Failed requests count once, as unavailable. Replies stand for the time from acceptance to the provider:
campaigns wait for their rate on purpose."""

BAD_PER_MINUTE, ALL_PER_MINUTE = "esq:bad_events:1m", "esq:events:1m"
"""Recorded each minute, with the label `indicator`: three days of raw counters would be too much to read."""


def burn_expression(indicator: Indicator, window: Window) -> str:
    """Return the MetricsQL of a burn-rate alert.

    Args:
        indicator: what is counted.
        window: its windows.

    Returns:
        An expression with the value of the burn rate in the long window.
    """
    burn = f"{_share(indicator, window, window.long)} / {indicator.allowed:g}"
    short = f"{_share(indicator, window, window.short)} / {indicator.allowed:g}"
    bad_events = _bad_in(indicator, window)
    return f"{burn} > {window.burn:g} and {short} > {window.burn:g} and {bad_events} >= {MIN_BAD_EVENTS}"


def recordings(indicator: Indicator) -> dict[str, str]:
    """Return the expressions that are recorded each minute for the long windows, by metric."""
    return {BAD_PER_MINUTE: indicator.bad_events("1m"), ALL_PER_MINUTE: indicator.all_events("1m")}


def _share(indicator: Indicator, window: Window, duration: str) -> str:
    if window is FAST:
        return f"{indicator.bad_events(duration)} / {indicator.all_events(duration)}"
    bad, total = (_recorded(metric, indicator, duration) for metric in (BAD_PER_MINUTE, ALL_PER_MINUTE))
    return f"{bad} / {total}"


def _bad_in(indicator: Indicator, window: Window) -> str:
    if window is FAST:
        return indicator.bad_events(window.long)
    return _recorded(BAD_PER_MINUTE, indicator, window.long, function="sum_over_time")


def _recorded(metric: str, indicator: Indicator, duration: str, function: str = "avg_over_time") -> str:
    """Return the average of a recorded metric, which is the same when two evaluators record each minute."""
    return f'sum({function}({metric}{{indicator="{indicator.alert}"}}[{duration}]))'
