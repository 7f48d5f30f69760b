"""How fast a number may send: a token bucket in the number's row, so that all dispatchers share it.

Whoever claims messages holds that row, refills the bucket, takes as many tokens as it claims, and writes it
back in the same transaction. A throttled number halves its pace at once and wins it back evenly over
`RECOVERY_SECONDS`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

RECOVERY_SECONDS = 60.0
"""Time in which a number goes from nothing back to its full pace."""

BURST_SECONDS = 0.5
"""What a bucket holds at most: the provider sees an even rate, and no token is lost between two claims."""

LEAST_PACE = 0.05


@dataclass(frozen=True)
class Bucket:
    """The state of one number.

    Attributes:
        rate: messages per second that the number may send.
        pace: share of that rate which is used now, over 0 up to 1.
        tokens: messages that may be sent at `filled_at`.
        filled_at: when the bucket was last looked at.
        held_until: nothing is sent before, None when it is not held.
    """

    rate: float
    pace: float
    tokens: float
    filled_at: datetime
    held_until: datetime | None = None

    def refilled(self, now: datetime) -> Bucket:
        """Return the bucket as it stands at `now`; a clock that went backwards adds nothing."""
        passed = max(0.0, (now - self.filled_at).total_seconds())
        pace = min(1.0, self.pace + passed / RECOVERY_SECONDS)
        most = max(1.0, self.rate * BURST_SECONDS * pace)
        tokens = min(most, self.tokens + passed * self.rate * self.pace)
        return replace(self, pace=pace, tokens=tokens, filled_at=max(now, self.filled_at))

    def allowance(self, now: datetime) -> int:
        """Return how many messages may be claimed now."""
        if self.held_until is not None and now < self.held_until:
            return 0
        return int(self.tokens)

    def without(self, taken: int) -> Bucket:
        """Return the bucket after `taken` messages were claimed."""
        return replace(self, tokens=self.tokens - taken)


def shares(allowances: Sequence[int], most: int) -> list[int]:
    """Divide `most` claims among numbers: evenly, none beyond its allowance, the rest to the others."""
    given = [0] * len(allowances)
    open_places = [place for place, allowance in enumerate(allowances) if allowance > 0]
    while most > 0 and open_places:
        each = max(1, most // len(open_places))
        for place in open_places:
            part = min(each, allowances[place] - given[place], most)
            given[place] += part
            most -= part
        open_places = [place for place in open_places if given[place] < allowances[place]]
    return given
