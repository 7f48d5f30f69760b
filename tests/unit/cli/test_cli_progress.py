"""What a person sees of steps."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from cli.progress import QUIET_SECONDS, RichSteps
from tests.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock(0.0)


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def steps(log: io.StringIO, clock: Clock) -> RichSteps:
    return RichSteps(Console(file=log, width=100), clock)


def test_a_step_ends_with_its_seconds_and_its_result(
    steps: RichSteps, log: io.StringIO, clock: Clock
) -> None:
    with steps.step("zones") as step:
        clock.now = 4.2
        step.set_result("three nodes [Ready]")
    assert log.getvalue() == "✓ zones  4.2 s  three nodes [Ready]\n"


def test_in_a_log_waits_are_told_now_and_then(steps: RichSteps, log: io.StringIO, clock: Clock) -> None:
    with steps.step("zones") as step:
        step.set_status("too early to tell")
        clock.now = QUIET_SECONDS
        step.set_status("zone-b: kubelet")
        step.set_status("zone-c: kubelet")
    assert log.getvalue().splitlines()[0] == "… zones: zone-b: kubelet"
    assert "zone-c" not in log.getvalue()


def test_a_failed_step_is_marked_and_the_error_goes_on(steps: RichSteps, log: io.StringIO) -> None:
    with pytest.raises(ValueError, match="no"), steps.step("images"):
        raise ValueError("no")
    assert log.getvalue().startswith("✗ images")


def test_an_interrupted_step_is_no_failure(steps: RichSteps, log: io.StringIO) -> None:
    with pytest.raises(KeyboardInterrupt), steps.step("images"):
        raise KeyboardInterrupt
    assert log.getvalue().startswith("■ images")


def test_inner_steps_are_indented(steps: RichSteps, log: io.StringIO) -> None:
    with steps.step("outer"), steps.step("inner"):
        pass
    assert [line[:4] for line in log.getvalue().splitlines()] == ["  ✓ ", "✓ ou"]


def test_on_a_terminal_the_live_line_says_what_is_waited_for(log: io.StringIO, clock: Clock) -> None:
    steps = RichSteps(Console(file=log, width=100, force_terminal=True), clock)
    with steps.step("zones") as step:
        step.set_status("zone-b: kubelet")
        shown = Console(file=io.StringIO(), width=100)
        shown.print(steps)
        assert "zone-b: kubelet" in shown.file.getvalue()  # type: ignore[attr-defined]
