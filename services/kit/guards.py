"""What the guards of outside operations show of themselves: breakers and bulkheads, whoever makes them."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

IS_CLOSED, TRIES_AGAIN, IS_OPEN = range(3)
STATE = Gauge("esq_breaker_state", "0 closed, 1 trying again, 2 open", ["operation"])
UNDER_WAY = Gauge("esq_bulkhead_under_way", "Calls under way", ["operation"])
REFUSED = Counter("esq_breaker_refused", "Calls that were refused without being made", ["operation", "by"])
