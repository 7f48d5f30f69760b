"""Evaluation of measured values against SLOs, and the limits of generator lag for valid measurements."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from infra.measurements.measurements import Distribution
from services.contracts.slo import SLO_BY_ID, SloStatus

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
    status: SloStatus


def evaluate(slo_id: str, metric: str, values: Iterable[float]) -> SloEvaluation:
    """Evaluate measured values against an SLO.

    Args:
        slo_id: id of the SLO.
        metric: name of the value in the report.
        values: measured values, one per run, in the unit of the SLO.

    Returns:
        The distribution of the values and the status of the SLO.
    """
    slo, distribution = SLO_BY_ID[slo_id], Distribution(values=tuple(values))
    return SloEvaluation(
        slo_id=slo_id,
        description=slo.description,
        metric=metric,
        objective=slo.objective,
        limit=slo.limit,
        unit=slo.unit,
        distribution=distribution,
        status=slo.evaluate(distribution.median, distribution.max),
    )
