"""The guard: limits by client and stream, and reasons not to go on."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import pytest

from chaos.guard import Guard, NoSignalError, exceeded_limit, find_limit

LIMITS = {"kafka": 90.0, "kafka.write": 5.0}


@dataclass
class ReportedSignal:
    """A report of the traffic."""

    silence: dict[str, float] = field(default_factory=lambda: {"kafka.write.0": 1.0, "kafka.read.0": 1.0})
    failure: str = ""
    attempts: dict[str, tuple[int, int]] = field(default_factory=dict)


def guard(signal: ReportedSignal) -> Guard:
    return Guard(signal, ["kafka.read", "kafka.write"], LIMITS, lambda _: None)


@pytest.mark.parametrize(
    ("stream", "limit"),
    [
        ("kafka.write.0", 5.0),
        ("kafka.write", 5.0),
        ("kafka.read.1", 90.0),
        ("kafkaesque.read", None),
        ("edge", None),
    ],
)
def test_the_most_specific_limit_counts(stream: str, limit: float | None) -> None:
    assert find_limit(stream, LIMITS) == limit


def test_exceeded_limit_names_the_stream() -> None:
    assert exceeded_limit({"kafka.write.0": 1.0, "edge.read": 99.0}, LIMITS) == ""
    assert "kafka.write.1" in exceeded_limit({"kafka.write.0": 1.0, "kafka.write.1": 6.0}, LIMITS)


def test_complete_and_fresh_signal_is_no_reason() -> None:
    assert guard(ReportedSignal()).find_reason() == ""
    guard(ReportedSignal()).wait_for_signal(0.0)


@pytest.mark.parametrize(
    ("signal", "reason"),
    [
        (ReportedSignal(failure="the traffic process has exited"), "has exited"),
        (ReportedSignal(silence={"kafka.read.0": 1.0}), "does not report kafka.write"),
        (ReportedSignal(silence={}), "does not report kafka.read, kafka.write"),
    ],
)
def test_missing_signal_is_a_reason(signal: ReportedSignal, reason: str) -> None:
    assert reason in guard(signal).find_reason()
    with pytest.raises(NoSignalError, match="nothing was injected"):
        guard(signal).wait_for_signal(0.0)


class MostlyFailing(ReportedSignal):
    """Streams of which four of five attempts fail: none is ever silent."""

    @property
    def attempts(self) -> dict[str, tuple[int, int]]:  # type: ignore[override]  # grows
        now = int(time.monotonic() * 1000)
        return {"kafka.write.0": (now, 4 * now), "unlimited": (0, now)}

    @attempts.setter
    def attempts(self, _: object) -> None:
        pass


def test_stream_that_mostly_fails_aborts() -> None:
    reasons: list[str] = []
    signal = MostlyFailing({"kafka.write.0": 0.0, "kafka.read.0": 0.0})
    with Guard(signal, ["kafka.read", "kafka.write"], {"kafka": 0.3}, reasons.append):
        deadline = time.monotonic() + 10
        while not reasons and time.monotonic() < deadline:
            time.sleep(0.01)
    assert "attempts of kafka.write.0 failed" in reasons[0]


def test_guard_that_fails_aborts() -> None:
    reasons: list[str] = []
    failing = Guard(None, [], {}, reasons.append)  # type: ignore[arg-type]  # a planted error
    with failing:
        deadline = time.monotonic() + 10
        while not reasons and time.monotonic() < deadline:
            time.sleep(0.01)
    assert "the guard failed" in reasons[0]
