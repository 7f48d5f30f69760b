"""Prometheus metrics of circuit breakers and bulkheads."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

BREAKER_CLOSED, BREAKER_HALF_OPEN, BREAKER_OPEN = range(3)
BREAKER_STATE = Gauge("esq_circuit_breaker_state", "0 closed, 1 half-open, 2 open", ["operation"])
IN_FLIGHT = Gauge("esq_bulkhead_in_flight_calls", "Calls in flight", ["operation"])
REJECTED = Counter(
    "esq_calls_rejected", "Calls rejected by a circuit breaker or a bulkhead", ["operation", "reason"]
)
