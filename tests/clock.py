"""Fake clock for code that takes its time as an argument."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING

import purgatory.domain.model

from services.kit import circuit_breaker

if TYPE_CHECKING:
    import pytest


@dataclass
class FakeClock:
    """Time that the test advances.

    Attributes:
        now: Seconds; since 1970 where that matters.
    """

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Advance the time; can replace a sleep function."""
        self.now += seconds


def use_clock_for_breakers(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make circuit breakers, and the library they use, read the time from a fake clock."""
    for module in (purgatory.domain.model, circuit_breaker):
        monkeypatch.setattr(module, "time", SimpleNamespace(time=clock))
