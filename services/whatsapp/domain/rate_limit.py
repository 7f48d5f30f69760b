"""Rate limit of a connection: a token bucket stored in the connection's row and shared by all dispatchers.

A dispatcher that leases messages locks that row, refills the bucket, takes one token a message, and writes
the bucket back in the same transaction. A throttled connection halves its throttle factor at once and
recovers it linearly within `THROTTLE_RECOVERY_SECONDS`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

THROTTLE_RECOVERY_SECONDS = 60.0
"""Time in which the throttle factor rises from 0 to 1."""
BURST_SECONDS = 0.5
"""Capacity of a bucket: the provider sees an even rate, and no token is lost between two leases."""
MIN_THROTTLE_FACTOR = 0.05


@dataclass(frozen=True)
class TokenBucket:
    """Token bucket of a connection.

    Attributes:
        rate: messages per second that the connection may send.
        throttle_factor: share of that rate in use, above 0 up to 1.
        tokens: messages that may be sent at `refilled_at`.
        refilled_at: time of the last refill.
        suspended_until: end of a suspension, None when sending is not suspended.
    """

    rate: float
    throttle_factor: float
    tokens: float
    refilled_at: datetime
    suspended_until: datetime | None = None

    def refill(self, now: datetime) -> TokenBucket:
        """Return the bucket refilled up to `now`; a clock that went backwards adds nothing."""
        elapsed_seconds = max(0.0, (now - self.refilled_at).total_seconds())
        throttle_factor = min(1.0, self.throttle_factor + elapsed_seconds / THROTTLE_RECOVERY_SECONDS)
        capacity = max(1.0, self.rate * BURST_SECONDS * throttle_factor)
        tokens = min(capacity, self.tokens + elapsed_seconds * self.rate * self.throttle_factor)
        return replace(
            self,
            throttle_factor=throttle_factor,
            tokens=tokens,
            refilled_at=max(now, self.refilled_at),
        )

    def available(self, now: datetime) -> int:
        """Return how many messages may be leased at `now`."""
        if self.suspended_until is not None and now < self.suspended_until:
            return 0
        return int(self.tokens)

    def consume(self, count: int) -> TokenBucket:
        """Return the bucket less `count` tokens."""
        return replace(self, tokens=self.tokens - count)


def allocate_fairly(limits: Sequence[int], total: int) -> list[int]:
    """Divide `total` leases among connections: evenly, none above its limit, the rest to the others.

    Args:
        limits: messages that each connection may lease.
        total: messages to lease in all.

    Returns:
        The share of each connection, in the order of `limits`.
    """
    shares = [0] * len(limits)
    unfilled = [index for index, limit in enumerate(limits) if limit > 0]
    while total > 0 and unfilled:
        even_share = max(1, total // len(unfilled))
        for index in unfilled:
            share = min(even_share, limits[index] - shares[index], total)
            shares[index] += share
            total -= share
        unfilled = [index for index in unfilled if shares[index] < limits[index]]
    return shares
