"""Status of an SLO by the values of runs: a lower bound can violate, but never counts as met."""

from __future__ import annotations

import pytest

from infra.measurements.run_values import Distribution, RunOutcome, RunValue
from infra.measurements.slo_evaluation import slo_status
from services.contracts.slo import SLO_BY_ID, SloStatus

SLO = SLO_BY_ID["edge-zone-outage"]
"""Objective 5 s, limit 25 s."""


def valid(*values: float) -> list[RunValue]:
    return [RunValue(value=value) for value in values]


def not_valid(outcome: RunOutcome, value: float | None) -> RunValue:
    return RunValue(value=value).from_run(outcome)


@pytest.mark.parametrize(
    ("runs", "status"),
    [
        (valid(1, 2, 3), SloStatus.MET),
        (valid(6, 7, 8), SloStatus.MISSED),
        (valid(1, 2, 26), SloStatus.VIOLATED),
        (valid(1, 2), SloStatus.INSUFFICIENT),
        ([*valid(1, 2), RunValue()], SloStatus.INSUFFICIENT),
        ([*valid(1, 2), RunValue(value=3, censored=True)], SloStatus.INSUFFICIENT),
        ([*valid(1, 2), not_valid(RunOutcome.INVALID, 3)], SloStatus.INSUFFICIENT),
        ([*valid(1, 2, 3), not_valid(RunOutcome.CRASHED, 26)], SloStatus.VIOLATED),
        ([*valid(1, 2, 3), not_valid(RunOutcome.ABORTED, 26)], SloStatus.VIOLATED),
        # The median of four is below the objective, whatever the lower bound stands for.
        ([*valid(1, 2, 3), not_valid(RunOutcome.ABORTED, 4)], SloStatus.MET),
        ([*valid(1, 2, 3), *[not_valid(RunOutcome.ABORTED, 4)] * 3], SloStatus.MISSED),
        # An aborted run counts without a value too: ending the bad runs early improves nothing.
        ([*valid(1, 2, 3), *[not_valid(RunOutcome.ABORTED, None)] * 3], SloStatus.MISSED),
        ([*valid(1, 2, 3), not_valid(RunOutcome.ABORTED, None)], SloStatus.MET),
        ([*valid(4, 4.5, 5.5), not_valid(RunOutcome.ABORTED, None)], SloStatus.MET),
        ([*valid(4, 4.6, 5.5), not_valid(RunOutcome.ABORTED, None)], SloStatus.MISSED),
        ([not_valid(RunOutcome.CRASHED, None)], SloStatus.INSUFFICIENT),
        ([], SloStatus.INSUFFICIENT),
    ],
)
def test_status(runs: list[RunValue], status: SloStatus) -> None:
    assert slo_status(SLO, Distribution(runs=tuple(runs)), min_runs=3) is status


def test_median_is_a_lower_bound_if_lower_bounds_decide_it() -> None:
    aborted = not_valid(RunOutcome.ABORTED, 4)
    assert str(Distribution(runs=(*valid(1, 9), aborted)).median) == "at least 4"
    assert str(Distribution(runs=(*valid(1, 2), aborted)).median) == "2"
    assert str(Distribution(runs=(*valid(1, 2), aborted)).max) == "at least 4"
    assert str(Distribution(runs=(RunValue(),)).median) == "not measured"


def test_value_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        RunValue(value=float("inf"))
