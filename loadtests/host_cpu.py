"""CPU usage of the host that runs the load test, including the platform if it runs there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psutil

from loadtests.results import HostCpu

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_BUSY = ("user", "nice", "system", "irq", "softirq")
"""CPU modes that count as used; `user` includes guests."""


def _cpu_times() -> Mapping[str, float]:
    """Return core seconds since boot by CPU mode."""
    return psutil.cpu_times()._asdict()


class HostCpuMeter:
    """Measures the CPU usage of the host from its creation on.

    Args:
        cpu_times: returns core seconds since boot by CPU mode, as `psutil.cpu_times` does.
        clock: monotonic time in seconds.
    """

    def __init__(
        self,
        cpu_times: Callable[[], Mapping[str, float]] = _cpu_times,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cpu_times, self._clock = cpu_times, clock
        self._started_at, self._start_times = clock(), cpu_times()

    def measure(self) -> HostCpu:
        """Return the average usage so far."""
        seconds, end_times = self._clock() - self._started_at, self._cpu_times()
        cores = {mode: (end_times[mode] - before) / seconds for mode, before in self._start_times.items()}
        return HostCpu(
            cores=psutil.cpu_count() or 0,
            used=round(sum(cores[mode] for mode in _BUSY), 3),
            steal=round(cores["steal"], 3),
        )
