"""Evaluation of measured values against SLOs, and the limits of generator lag for valid measurements."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from infra.measurements.run_values import Distribution, RunValue
from services.contracts.slo import SLO_BY_ID, Slo, SloStatus

if TYPE_CHECKING:
    from collections.abc import Iterable


MAX_START_DELAY_SECONDS = 0.05
"""A call that starts later than this after its planned time is late: the generator lags."""
MAX_LATE_FRACTION = 0.01
"""Fraction of late calls above which a run measures the generator rather than the platform."""


class SloEvaluation(BaseModel):
    """Evaluation of the values of all runs against an SLO.

    Attributes:
        slo_id: id of the SLO.
        description: description of the SLO.
        metric: name of the value in the report.
        objective: upper bound of the median.
        limit: upper bound of each run.
        unit: unit of the values, objective and limit.
        distribution: the values.
        min_runs: number of runs whose value must count.
        status: result of the evaluation.
    """

    model_config = ConfigDict(frozen=True)

    slo_id: str
    description: str
    metric: str
    objective: float
    limit: float
    unit: str
    distribution: Distribution
    min_runs: int
    status: SloStatus


def evaluate(slo_id: str, metric: str, runs: Iterable[RunValue], min_runs: int = 1) -> SloEvaluation:
    """Evaluate the values of runs against an SLO.

    Args:
        slo_id: id of the SLO.
        metric: name of the value in the report.
        runs: a value per run, in the unit of the SLO.
        min_runs: number of runs whose value must count.

    Returns:
        The distribution of the values and the status of the SLO.
    """
    slo, distribution = SLO_BY_ID[slo_id], Distribution(runs=tuple(runs))
    return SloEvaluation(
        slo_id=slo_id,
        description=slo.description,
        metric=metric,
        objective=slo.objective,
        limit=slo.limit,
        unit=slo.unit,
        distribution=distribution,
        min_runs=min_runs,
        status=slo_status(slo, distribution, min_runs),
    )


def slo_status(slo: Slo, distribution: Distribution, min_runs: int) -> SloStatus:
    """Return the status of an SLO.

    A lower bound above the limit violates the SLO: the true value is higher still. A lower bound below the
    limit or the objective proves nothing and never counts as met.

    Args:
        slo: the SLO.
        distribution: the values of the runs.
        min_runs: number of runs whose value must count.
    """
    worst = distribution.max.value
    if worst is not None and worst > slo.limit:
        return SloStatus.VIOLATED
    if distribution.valid_runs < min_runs or distribution.median.value is None:
        return SloStatus.INSUFFICIENT
    return SloStatus.MET if distribution.median_is_within(slo.objective) else SloStatus.MISSED
