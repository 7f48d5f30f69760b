"""How long work tells where it is: named steps, and what each of them waits for.

Code that takes seconds takes a `Steps`; the command line shows them on a terminal, tests use `QuietSteps`.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager


class Step(Protocol):
    """A step under way."""

    def waiting(self, what: str) -> None:
        """Say what the step waits for now, e.g. `zone-b: kubelet`; replaces what was said before."""

    def note(self, result: str) -> None:
        """Say how the step ended, e.g. `already running`; shown behind its name."""


class Steps(Protocol):
    """Shows steps as they begin and end."""

    def step(self, name: str) -> AbstractContextManager[Step]:
        """Open the step called `name`; leaving closes it with its seconds, an exception marks it failed."""


@dataclass
class Timed:
    """A closed or open step of `QuietSteps`. `seconds` is None while it runs."""

    name: str
    seconds: float | None = None
    notes: list[str] = field(default_factory=list)
    waits: list[str] = field(default_factory=list)

    def waiting(self, what: str) -> None:
        """Remember what the step waits for."""
        self.waits.append(what)

    def note(self, result: str) -> None:
        """Remember the result."""
        self.notes.append(result)


class QuietSteps:
    """Remembers steps and shows nothing; for tests and for machines that want the timings afterwards."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.steps: list[Timed] = []
        self._clock = clock

    @contextmanager
    def step(self, name: str) -> Iterator[Timed]:
        """Open the step called `name`."""
        timed = Timed(name)
        self.steps.append(timed)
        begun = self._clock()
        try:
            yield timed
        finally:
            timed.seconds = self._clock() - begun
