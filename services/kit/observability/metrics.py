"""Metrics of this process, made from the table `services.contracts.telemetry`. Each is made once."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

from services.contracts import telemetry

if TYPE_CHECKING:
    from services.contracts.telemetry import Metric

BREAKER_CLOSED, BREAKER_HALF_OPEN, BREAKER_OPEN = range(3)
"""Values of `BREAKER_STATE`."""


@cache
def counter(metric: Metric) -> Counter:
    """Return the counter of the table."""
    return Counter(metric.name, metric.help, metric.labels)


@cache
def gauge(metric: Metric) -> Gauge:
    """Return the gauge of the table."""
    return Gauge(metric.name, metric.help, metric.labels)


@cache
def histogram(metric: Metric) -> Histogram:
    """Return the histogram of the table."""
    return Histogram(metric.name, metric.help, metric.labels, buckets=metric.buckets)


BREAKER_STATE = gauge(telemetry.BREAKER_STATE)
IN_FLIGHT = gauge(telemetry.BULKHEAD_IN_FLIGHT)
REJECTED = counter(telemetry.CALLS_REJECTED)
