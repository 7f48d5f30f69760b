"""Figures against a promise, and when those who took them lagged too much to say anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from infra.evidence import Distribution
from services.contracts.promises import BY_ID, Standing

if TYPE_CHECKING:
    from collections.abc import Iterable


LATE_SECONDS = 0.05
"""What begins later than this after its planned instant is late: the generator lagged."""
LATE_SHARE = 0.01
"""Share that may be late before a run says more of the generator than of the platform."""


class Verdict(BaseModel):
    """A promise against the figures of all runs; `metric` is the figure's name in the report."""

    model_config = ConfigDict(frozen=True)

    promise: str
    sentence: str
    metric: str
    target: float
    ceiling: float
    unit: str
    distribution: Distribution
    standing: Standing


def judge(promise_id: str, metric: str, values: Iterable[float]) -> Verdict:
    """Return how `values`, one per run, stand to a promise."""
    promise, figures = BY_ID[promise_id], Distribution(values=tuple(values))
    return Verdict(
        promise=promise_id,
        sentence=promise.sentence,
        metric=metric,
        target=promise.target,
        ceiling=promise.ceiling,
        unit=promise.unit,
        distribution=figures,
        standing=promise.standing(figures.median, figures.most),
    )
