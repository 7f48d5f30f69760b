"""Values of runs: a value counts, or is a lower bound, or is absent. Absent is never zero."""

from __future__ import annotations

import math
import statistics
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class RunOutcome(StrEnum):
    """How a run ended, which decides what its values prove."""

    VALID = "valid"
    """The run went as planned: its values count."""
    INVALID = "invalid"
    """The run ended, but a part of it failed: it did not measure what it promised."""
    ABORTED = "aborted"
    """The run was stopped, for safety or by a person: an outage lasted at least as long as seen."""
    CRASHED = "crashed"
    """The run ended by an error of the tool."""


class RunValue(BaseModel):
    """Value of one run.

    Attributes:
        value: measured value; None if the run did not measure it.
        censored: whether the true value is at least the measured one, because the run ended before it was
            known (right-censored). Every value of a run that is not valid is censored.
        outcome: how the run ended.
    """

    model_config = ConfigDict(frozen=True)

    value: float | None = Field(default=None, allow_inf_nan=False)
    censored: bool = False
    outcome: RunOutcome = RunOutcome.VALID

    def __str__(self) -> str:
        """Return the value in words: `not measured`, `at least 45` or `45`."""
        if self.value is None:
            return "not measured"
        return f"at least {self.value:g}" if self.censored else f"{self.value:g}"

    def from_run(self, outcome: RunOutcome) -> RunValue:
        """Return the value as that of a run with this outcome."""
        is_censored = self.censored or outcome is not RunOutcome.VALID
        return self.model_copy(update={"outcome": outcome, "censored": is_censored})

    @property
    def counts(self) -> bool:
        """Whether the value may count as met: measured to its end, by a valid run."""
        return self.value is not None and not self.censored and self.outcome is RunOutcome.VALID


NOT_MEASURED = RunValue()


class Distribution(BaseModel):
    """The values of all runs of a measurement.

    Attributes:
        runs: a value per run, in the order of the runs, including those that measured nothing.
    """

    model_config = ConfigDict(frozen=True)

    runs: tuple[RunValue, ...] = ()

    @property
    def valid_runs(self) -> int:
        """Number of runs whose value counts."""
        return sum(run.counts for run in self.runs)

    @property
    def min(self) -> float | None:
        """Lowest value that counts."""
        return min((run.value for run in self.runs if run.value is not None and run.counts), default=None)

    @property
    def max(self) -> RunValue:
        """Highest value of all runs: a lower bound is a value as well."""
        measured = [run for run in self.runs if run.value is not None]
        return max(measured, key=lambda run: (run.value or 0.0, run.censored), default=NOT_MEASURED)

    @property
    def median(self) -> RunValue:
        """Median of the valid and the aborted runs; censored if the values beyond the lower bounds change it.

        Invalid and crashed runs did not measure the fault, so they have no part in it. An aborted run has,
        also if it has no value: who ends the bad runs early must not improve the median.
        """
        if not any(run.value is not None for run in self._ranked):
            return NOT_MEASURED
        median = statistics.median(run.value or 0.0 for run in self._ranked)
        return RunValue(value=median, censored=self._highest_median != median)

    def median_is_within(self, bound: float) -> bool:
        """Return whether the median is at most this, however high the values beyond the lower bounds are."""
        return self.median.value is not None and self._highest_median <= bound

    @property
    def _ranked(self) -> list[RunValue]:
        return [
            run
            for run in self.runs
            if run.outcome is RunOutcome.ABORTED
            or (run.outcome is RunOutcome.VALID and run.value is not None)
        ]

    @property
    def _highest_median(self) -> float:
        return statistics.median(
            math.inf if run.censored or run.value is None else run.value for run in self._ranked
        )
