"""How busy the machine was that a run was made from: on one that bears the platform too, all there is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psutil

from loadtests.result import Machine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_AT_WORK = ("user", "nice", "system", "irq", "softirq")
"""What a processor is told to do something for; `user` holds guests as well."""


def _times() -> Mapping[str, float]:
    """Return core seconds since the machine started, by what they went into."""
    return psutil.cpu_times()._asdict()


class Stopwatch:
    """Counts what the machine's processors do from now on.

    Args:
        times: tells what they did since it started, as `psutil.cpu_times` does.
        clock: seconds.
    """

    def __init__(
        self,
        times: Callable[[], Mapping[str, float]] = _times,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._times, self._clock = times, clock
        self._begun, self._first = clock(), times()

    def machine(self) -> Machine:
        """Return what they did until now."""
        seconds, last = self._clock() - self._begun, self._times()
        since = {name: (last[name] - before) / seconds for name, before in self._first.items()}
        return Machine(
            cores=psutil.cpu_count() or 0,
            taken=round(sum(since[name] for name in _AT_WORK), 3),
            stolen=round(since["steal"], 3),
        )
