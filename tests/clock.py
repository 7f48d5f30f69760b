"""A clock for tests of what takes its time as an argument."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Clock:
    """Time that passes when the test says so.

    Attributes:
        now: seconds; since the epoch where that matters.
    """

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def pass_by(self, seconds: float) -> None:
        """Let time pass; may stand in for sleeping."""
        self.now += seconds
