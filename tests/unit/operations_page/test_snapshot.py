"""Readings of panels: one at a time per panel, shared by all viewers, with a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from cli.operations_page.panel import Content, NotDeployedError, Panel, PanelState, PanelView
from cli.operations_page.shared_reading import FirstSuccess, SharedReading
from cli.operations_page.snapshot import Snapshot
from infra.errors import EsqError

TIMEOUT_SECONDS = 20.0


class Clock:
    """Time that advances only on demand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Source:
    """A source that answers when it may, and counts its readings."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.readings = 0
        self.error: Exception | None = None

    def __call__(self) -> Content:
        self.readings += 1
        assert self.may_answer.wait(TIMEOUT_SECONDS)
        if self.error:
            raise self.error
        return Content(f"reading {self.readings}", ("a problem",))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source() -> Source:
    return Source()


def view_when(snapshot: Snapshot, condition: Callable[[PanelView], bool]) -> PanelView:
    """Return the first panel when it meets the condition."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition(view := snapshot.views()[0]):
        assert time.monotonic() < deadline, view
        time.sleep(0.005)
    return view


def is_current(view: PanelView) -> bool:
    return view.state is PanelState.CURRENT


def test_first_view_does_not_wait(source: Source, clock: Clock) -> None:
    snapshot = Snapshot([Panel("x", "X", source)], clock)
    assert snapshot.views()[0].state is PanelState.READING
    source.may_answer.set()
    view = view_when(snapshot, is_current)
    assert (view.content.html, view.content.problems, view.age_seconds) == ("reading 1", ("a problem",), 0.0)


def test_nothing_is_read_without_viewers(source: Source, clock: Clock) -> None:
    Snapshot([Panel("x", "X", source)], clock)
    assert source.readings == 0


def test_many_viewers_share_one_reading(source: Source, clock: Clock) -> None:
    source.may_answer.set()
    snapshot = Snapshot([Panel("x", "X", source, interval_seconds=3)], clock)
    view_when(snapshot, is_current)
    viewers = [threading.Thread(target=lambda: [snapshot.views() for _ in range(50)]) for _ in range(10)]
    for viewer in viewers:
        viewer.start()
    for viewer in viewers:
        viewer.join(TIMEOUT_SECONDS)
    assert source.readings == 1
    clock.now += 3
    view_when(snapshot, lambda view: view.content.html == "reading 2")
    assert source.readings == 2


def test_slow_source_blocks_no_other_and_is_not_read_twice(source: Source, clock: Clock) -> None:
    panels = [Panel("slow", "Slow", source, deadline_seconds=10), Panel("x", "X", lambda: Content("quick"))]
    snapshot = Snapshot(panels, clock)
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while snapshot.views()[1].content.html != "quick":
        assert time.monotonic() < deadline
    clock.now += 11
    slow = snapshot.views()[0]
    assert (slow.state, slow.reason, slow.content.html) == (PanelState.UNAVAILABLE, "no answer for 11 s", "")
    assert source.readings == 1
    source.may_answer.set()
    view_when(snapshot, is_current)


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (
            EsqError("the API server does not answer"),
            PanelState.UNAVAILABLE,
            "the API server does not answer",
        ),
        (
            NotDeployedError("no metrics", remedy="Deploy it."),
            PanelState.NOT_DEPLOYED,
            "no metrics. Deploy it",
        ),
        (KeyError("x"), PanelState.UNAVAILABLE, "internal error: KeyError: 'x'"),
    ],
)
def test_panel_without_source_says_why(
    source: Source, clock: Clock, error: Exception, state: PanelState, reason: str
) -> None:
    source.may_answer.set()
    source.error = error
    snapshot = Snapshot([Panel("x", "X", source)], clock)
    view = view_when(snapshot, lambda view: view.state is not PanelState.READING)
    assert (view.state, view.reason, view.content) == (state, reason, Content(""))


def test_failure_replaces_earlier_content(source: Source, clock: Clock) -> None:
    source.may_answer.set()
    snapshot = Snapshot([Panel("x", "X", source)], clock)
    view_when(snapshot, is_current)
    source.error = EsqError("gone")
    clock.now += 3
    view = view_when(snapshot, lambda view: view.state is PanelState.UNAVAILABLE)
    assert view.content.html == ""


def test_content_from_before_a_time_without_viewers_is_not_shown(source: Source, clock: Clock) -> None:
    source.may_answer.set()
    snapshot = Snapshot([Panel("x", "X", source)], clock)
    view_when(snapshot, is_current)
    source.may_answer.clear()
    clock.now += 3600
    assert snapshot.views()[0].state is PanelState.READING
    source.may_answer.set()
    assert view_when(snapshot, is_current).content.html == "reading 2"


def test_shared_reading_reads_once_per_interval_and_repeats_its_error(clock: Clock) -> None:
    results: list[int | EsqError] = [1, EsqError("gone"), 2]

    def read() -> int:
        if isinstance(result := results.pop(0), EsqError):
            raise result
        return result

    shared = SharedReading(read, 5.0, clock)
    assert [shared(), shared()] == [1, 1]
    clock.now += 5
    for _ in range(2):
        with pytest.raises(EsqError, match="gone"):
            shared()
    clock.now += 5
    assert shared() == 2


def test_those_who_wait_for_a_slow_failure_do_not_repeat_it(clock: Clock) -> None:
    attempts = []

    def fail_slowly() -> None:
        attempts.append(clock.now)
        clock.now += 30
        raise EsqError("gone")

    opened = FirstSuccess(SharedReading(fail_slowly, 4.0, clock))
    for _ in range(3):
        with pytest.raises(EsqError, match="gone"):
            opened()
    assert len(attempts) == 1


def test_first_success_is_tried_until_it_succeeds() -> None:
    results: list[int | EsqError] = [EsqError("gone"), 1, 2]

    def open_it() -> int:
        if isinstance(result := results.pop(0), EsqError):
            raise result
        return result

    opened = FirstSuccess(open_it)
    with pytest.raises(EsqError, match="gone"):
        opened()
    assert [opened(), opened()] == [1, 1]
