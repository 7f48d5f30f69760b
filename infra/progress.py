"""Progress reporting for long operations: named steps with a status.

Functions that take seconds take a `ProgressReporter`.
The command line shows its steps on a terminal; tests use `RecordingProgress`.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager


class ProgressStep(Protocol):
    """A running step."""

    def set_status(self, status: str) -> None:
        """Replace the status of the step: what it waits for, e.g. `zone-b: kubelet`."""

    def set_result(self, result: str) -> None:
        """Set the result of the step, e.g. `already running`; it is shown after the name."""


class ProgressReporter(Protocol):
    """Reports steps as they start and end."""

    def step(self, name: str) -> AbstractContextManager[ProgressStep]:
        """Start a step; leaving the context ends it with its duration, an exception marks it as failed."""


@dataclass
class RecordedStep:
    """A step of `RecordingProgress`.

    Attributes:
        name: name of the step.
        seconds: duration in seconds; None while the step runs.
        results: all results, in order.
        statuses: all statuses, in order.
    """

    name: str
    seconds: float | None = None
    results: list[str] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)

    def set_status(self, status: str) -> None:
        """Append to the statuses."""
        self.statuses.append(status)

    def set_result(self, result: str) -> None:
        """Append to the results."""
        self.results.append(result)


class RecordingProgress:
    """Records steps and shows nothing; for tests and for programs that need the durations afterwards.

    Args:
        clock: monotonic time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.steps: list[RecordedStep] = []
        self._clock = clock

    @contextmanager
    def step(self, name: str) -> Iterator[RecordedStep]:
        """Start a step."""
        step = RecordedStep(name)
        self.steps.append(step)
        started = self._clock()
        try:
            yield step
        finally:
            step.seconds = self._clock() - started
