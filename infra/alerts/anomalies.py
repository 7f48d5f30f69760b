"""Anomalies of processing: the present compared with the same hour of former days.

A signal is recorded each minute. Its normal value is the median over the same hour of the last seven days,
its spread the median distance from that; one bad day changes neither. An anomaly differs by more than
`SPREADS` times the spread and by more than `MIN_CHANGE` of the normal value: a signal that never varies has
no spread. With fewer than `MIN_DAYS` former days there is no normal value, and what is below its guard, now
and normally, is too little to compare.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.contracts import telemetry

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNAL = "esq:signal:5m"
"""Recorded metric; its label `signal` names what is measured."""
SIGNAL_GUARD = "esq:signal_guard"
"""Recorded constant with the same label: the guard of the signal."""
DAYS = 7
MIN_DAYS = 4
SPREADS = 5.0
MIN_CHANGE = 0.5


@dataclass(frozen=True)
class Signal:
    """A signal.

    Attributes:
        name: value of the label `signal`.
        expression: MetricsQL of its present value, one series.
        guard: least value that is compared, in its own unit: a rate of almost zero halves for no reason.
    """

    name: str
    expression: str
    guard: float


def _rate(metric: telemetry.Metric, labels: str = "") -> str:
    return f"sum(rate({metric.name}{labels}[5m]))"


def _http_rate(labels: str = "") -> str:
    return f"sum(rate({telemetry.HTTP_REQUEST_DURATION.name}_count{labels}[5m]))"


_REJECTED, _ACCEPTED, _FAILED = '{status_class="4xx"}', '{state="accepted"}', '{state="failed"}'

SIGNALS = (
    Signal("requests per second", _http_rate(), 1),
    Signal("messages accepted per second", _rate(telemetry.MESSAGES, _ACCEPTED), 1),
    Signal("webhooks per second", _rate(telemetry.WEBHOOKS_RECEIVED), 1),
    Signal("events per second", _rate(telemetry.CONSUMER_RECORDS), 1),
    Signal(
        "share of rejected requests",
        f"{_http_rate(_REJECTED)} / ({_http_rate()} > 1)",
        0.02,
    ),
    Signal(
        "share of failed messages",
        f"{_rate(telemetry.MESSAGES, _FAILED)} / ({_rate(telemetry.SEND_ATTEMPTS)} > 1)",
        0.02,
    ),
    Signal("age of the oldest event, seconds", f"max({telemetry.CONSUMER_OLDEST_AGE.name})", 1),
)


def signal_recordings() -> Iterator[dict[str, Any]]:
    """Yield the recording rules of the signals."""
    for signal in SIGNALS:
        labels = {"signal": signal.name}
        yield {"record": SIGNAL, "expr": signal.expression, "labels": labels}
        yield {"record": SIGNAL_GUARD, "expr": f"{signal.guard:g}", "labels": labels}


def anomaly_expression() -> str:
    """Return the expression of the signals that are not as on former days; its value is the present one."""
    former = ", ".join(
        f'label_set(avg_over_time({SIGNAL}[1h] offset {day * 24 - 1}h30m), "day", "{day}")'
        for day in range(1, DAYS + 1)
    )
    return (
        f"WITH (former = union({former}),"
        " normal = median(former) by (signal), spread = mad(former) by (signal),"
        f" present = avg(avg_over_time({SIGNAL}[10m])) by (signal), change = abs(present - normal))"
        f" present if (change > {SPREADS:g} * spread) if (change > {MIN_CHANGE:g} * normal)"
        f" if (max(present, normal) by (signal) > max({SIGNAL_GUARD}) by (signal))"
        f" if (count(former) by (signal) >= {MIN_DAYS})"
    )
