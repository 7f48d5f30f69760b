"""How busy the machine was is what its processors did between two moments."""

from __future__ import annotations

import pytest

from loadtests.machine import Stopwatch


def times(**more: float) -> dict[str, float]:
    """What `psutil.cpu_times` tells: a machine that has long been up."""
    base = {"user": 1000.0, "nice": 1, "system": 500, "irq": 3, "softirq": 4, "steal": 20, "idle": 9000}
    return {name: value + more.get(name, 0) for name, value in base.items()}


def test_idle_seconds_are_not_taken_and_stolen_ones_are_told_apart() -> None:
    told = iter([times(), times(user=4, nice=1, system=2, irq=0.5, softirq=0.5, steal=1, idle=11)])
    clock = iter([50.0, 60.0])
    machine = Stopwatch(lambda: next(told), lambda: next(clock)).machine()
    assert machine.taken == pytest.approx(0.8)
    assert machine.stolen == pytest.approx(0.1)


def test_this_machine_has_processors_and_takes_no_more_than_them() -> None:
    stopwatch = Stopwatch()
    sum(range(1_000_000))
    machine = stopwatch.machine()
    assert machine.cores >= 1
    assert 0 <= machine.taken <= machine.cores + 1
