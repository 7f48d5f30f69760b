"""A clock for tests of what takes its time as an argument."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING

import purgatory.domain.model

from services.kit import breaker

if TYPE_CHECKING:
    import pytest


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


def breakers_follow(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let breakers, and the library they stand on, take their time from a clock."""
    for module in (purgatory.domain.model, breaker):
        monkeypatch.setattr(module, "time", SimpleNamespace(time=clock))
