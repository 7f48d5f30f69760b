"""Progress for people: terminal and log output."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from cli.progress import LOG_INTERVAL_SECONDS, RichProgress
from tests.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(0.0)


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def progress(log: io.StringIO, clock: FakeClock) -> RichProgress:
    return RichProgress(Console(file=log, width=100), clock)


def test_step_ends_with_duration_and_result(
    progress: RichProgress, log: io.StringIO, clock: FakeClock
) -> None:
    with progress.step("zones") as step:
        clock.now = 4.2
        step.set_result("three nodes [Ready]")
    assert log.getvalue() == "✓ zones  4.2 s  three nodes [Ready]\n"


def test_log_prints_the_status_at_most_once_per_interval(
    progress: RichProgress, log: io.StringIO, clock: FakeClock
) -> None:
    with progress.step("zones") as step:
        step.set_status("too early")
        clock.now = LOG_INTERVAL_SECONDS
        step.set_status("zone-b: kubelet")
        step.set_status("zone-c: kubelet")
    assert log.getvalue().splitlines()[0] == "… zones: zone-b: kubelet"
    assert "zone-c" not in log.getvalue()


def test_failed_step_is_marked_and_the_error_propagates(progress: RichProgress, log: io.StringIO) -> None:
    with pytest.raises(ValueError, match="no"), progress.step("images"):
        raise ValueError("no")
    assert log.getvalue().startswith("✗ images")


def test_interrupted_step_has_its_own_mark(progress: RichProgress, log: io.StringIO) -> None:
    with pytest.raises(KeyboardInterrupt), progress.step("images"):
        raise KeyboardInterrupt
    assert log.getvalue().startswith("■ images")


def test_inner_steps_are_indented(progress: RichProgress, log: io.StringIO) -> None:
    with progress.step("outer"), progress.step("inner"):
        pass
    assert [line[:4] for line in log.getvalue().splitlines()] == ["  ✓ ", "✓ ou"]


def test_terminal_shows_the_status(log: io.StringIO, clock: FakeClock) -> None:
    progress = RichProgress(Console(file=log, width=100, force_terminal=True), clock)
    with progress.step("zones") as step:
        step.set_status("zone-b: kubelet")
        shown = Console(file=io.StringIO(), width=100)
        shown.print(progress)
        assert "zone-b: kubelet" in shown.file.getvalue()  # type: ignore[attr-defined]
