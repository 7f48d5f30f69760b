"""Host CPU usage as the difference of two readings."""

from __future__ import annotations

import time

import pytest

from loadtests.host_cpu import HostCpuMeter


def cpu_times(**increments: float) -> dict[str, float]:
    """Return CPU times of a machine that has been up for long, as `psutil.cpu_times` does."""
    base = {"user": 1000.0, "nice": 1, "system": 500, "irq": 3, "softirq": 4, "steal": 20, "idle": 9000}
    return {mode: seconds + increments.get(mode, 0) for mode, seconds in base.items()}


def test_idle_time_is_not_used_and_steal_is_separate() -> None:
    readings = iter(
        [cpu_times(), cpu_times(user=4, nice=1, system=2, irq=0.5, softirq=0.5, steal=1, idle=11)]
    )
    clock = iter([50.0, 60.0])
    host_cpu = HostCpuMeter(lambda: next(readings), lambda: next(clock)).measure()
    assert host_cpu.used == pytest.approx(0.8)
    assert host_cpu.steal == pytest.approx(0.1)


def test_usage_over_time_has_a_value_for_each_interval() -> None:
    readings = iter([cpu_times(), cpu_times(user=1), cpu_times(user=1, steal=2)])
    clock = iter([50.0, 51.0, 52.0])
    meter = HostCpuMeter(lambda: next(readings), lambda: next(clock))
    meter.poll()
    meter.poll()
    assert meter.over_time(50.0, 1, 3) == {"used": (1.0, 0.0, None), "stolen": (0.0, 2.0, None)}


def test_usage_of_this_host_is_within_its_cores() -> None:
    meter = HostCpuMeter()
    busy_until = time.monotonic() + 0.5  # many clock ticks, in which the kernel counts
    while time.monotonic() < busy_until:
        pass
    host_cpu = meter.measure()
    assert host_cpu.cores >= 1
    assert 0 < host_cpu.used <= host_cpu.cores + 0.5
