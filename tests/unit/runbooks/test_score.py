"""The score is zero if a true cause is not named, and false causes lower it."""

from __future__ import annotations

import pytest

from runbooks.checks import slugs
from runbooks.score import TRUTHS, Truth, score

TWO = Truth(
    (frozenset({"postgres-down"}), frozenset({"kafka-down", "kafka-under-replicated"})),
    frozenset({"service-down"}),
)


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({"postgres-down", "kafka-under-replicated"}, 1.0),
        ({"postgres-down", "kafka-down", "service-down"}, 1.0),
        ({"postgres-down", "kafka-down", "zone-down"}, 2 / 3),
        ({"postgres-down"}, 0.0),
        ({"postgres-down", "service-down"}, 0.0),
        (set(), 0.0),
    ],
)
def test_score(named: set[str], expected: float) -> None:
    assert score(named, TWO) == pytest.approx(expected)


def test_fault_that_nobody_notices_has_no_cause_to_name() -> None:
    hidden = Truth((), frozenset({"queue-backlog"}))
    assert score((), hidden) == 1.0
    assert score({"queue-backlog"}, hidden) == 1.0
    assert score({"zone-down"}, hidden) == 0.0


@pytest.mark.parametrize("experiment", sorted(TRUTHS))
def test_truth_names_existing_checks(experiment: str) -> None:
    truth = TRUTHS[experiment]
    assert truth.consequences.union(*truth.causes) <= set(slugs())
