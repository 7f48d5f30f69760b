"""The triage of a run starts when a page is due, ends with the first cause, and its score is kept."""

from __future__ import annotations

import pytest

from chaos.triage_watch import INTERVAL_SECONDS, PAGE_SECONDS, TriageWatch
from runbooks.fakes import FakeContext
from runbooks.triage import diagnose
from tests.unit.runbooks import symptoms


class Run:
    """A run at a time that the test sets."""

    def __init__(self, experiment: str = "zone-outage") -> None:
        self.now = 100.0
        self.injected_at: float | None = 100.0
        self.context = FakeContext()
        self.watch = TriageWatch(
            experiment, lambda: self.injected_at, lambda: diagnose(self.context), clock=lambda: self.now
        )

    def poll_at(self, seconds: float, context: FakeContext | None = None) -> bool:
        self.now = 100.0 + seconds
        self.context = context or self.context
        return self.watch.poll()


def test_nothing_is_read_before_a_page_is_due() -> None:
    run = Run()
    assert run.poll_at(PAGE_SECONDS - 1, symptoms.lost_zone())
    run.injected_at = None
    assert run.poll_at(PAGE_SECONDS + 1)
    assert run.watch.result is None


def test_first_named_cause_is_scored_with_its_time_and_action() -> None:
    run = Run()
    assert run.poll_at(PAGE_SECONDS, FakeContext())
    assert run.watch.result is not None
    assert run.watch.result.diagnosed_after_seconds is None
    assert run.poll_at(PAGE_SECONDS + INTERVAL_SECONDS - 1, symptoms.lost_zone())
    assert not run.poll_at(PAGE_SECONDS + INTERVAL_SECONDS)
    result = run.watch.result
    assert (result.named, result.score, result.triages) == (("zone-down",), 1.0, 2)
    assert result.diagnosed_after_seconds == result.action_after_seconds == PAGE_SECONDS + INTERVAL_SECONDS
    assert result.action == "esq cluster up"


def test_missed_cause_has_no_credit() -> None:
    run = Run("dns-outage")
    assert not run.poll_at(PAGE_SECONDS, symptoms.lost_zone())
    assert run.watch.result is not None
    assert run.watch.result.score == 0.0


@pytest.mark.parametrize(
    ("experiment", "score"), [("redis-flushed", 1.0), ("of-others", None), ("zone-outage", 0.0)]
)
def test_score_without_any_cause_depends_on_the_truth(experiment: str, score: float | None) -> None:
    run = Run(experiment)
    assert run.poll_at(PAGE_SECONDS)
    assert run.watch.result is not None
    assert run.watch.result.score == score
