"""CPU usage of the host that runs the load test, including the platform if it runs there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psutil

from infra.measurements.poller import PollingThread
from loadtests.cpu_series import cores_over_time
from loadtests.results import HostCpu

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

POLL_INTERVAL_SECONDS = 1.0
_BUSY = ("user", "nice", "system", "irq", "softirq")
"""CPU modes that count as used; `user` includes guests."""
_STEAL = ("steal",)


def _cpu_times() -> Mapping[str, float]:
    """Return core seconds since boot by CPU mode."""
    return psutil.cpu_times()._asdict()


class HostCpuMeter(PollingThread):
    """Measures the CPU usage of the host while its block runs.

    Args:
        cpu_times: returns core seconds since boot by CPU mode, as `psutil.cpu_times` does.
        clock: monotonic time in seconds.
    """

    def __init__(
        self,
        cpu_times: Callable[[], Mapping[str, float]] = _cpu_times,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__("host-cpu", self.poll, POLL_INTERVAL_SECONDS)
        self._cpu_times, self._clock = cpu_times, clock
        self._readings: list[tuple[float, Mapping[str, float]]] = []
        self.poll()

    def poll(self) -> bool:
        """Read the counters.

        Returns:
            True: polling continues until the block ends.
        """
        self._readings.append((self._clock(), self._cpu_times()))
        return True

    def measure(self) -> HostCpu:
        """Return the average usage so far."""
        self.poll()
        (started_at, start_times), (ended_at, end_times) = self._readings[0], self._readings[-1]
        seconds = ended_at - started_at
        return HostCpu(
            cores=psutil.cpu_count() or 0,
            used=round((_sum(end_times, _BUSY) - _sum(start_times, _BUSY)) / seconds, 3),
            steal=round((_sum(end_times, _STEAL) - _sum(start_times, _STEAL)) / seconds, 3),
        )

    def over_time(
        self, start: float, interval_seconds: float, count: int
    ) -> dict[str, tuple[float | None, ...]]:
        """Return the cores used and stolen in each interval.

        Args:
            start: start of the first interval, on the clock of the meter.
            interval_seconds: length of an interval.
            count: number of intervals.
        """
        series = {}
        for name, modes in (("used", _BUSY), ("stolen", _STEAL)):
            readings = [(at, _sum(times, modes)) for at, times in self._readings]
            series[name] = cores_over_time(readings, start, interval_seconds, count)
        return series


def _sum(times: Mapping[str, float], modes: tuple[str, ...]) -> float:
    return sum(times[mode] for mode in modes)
