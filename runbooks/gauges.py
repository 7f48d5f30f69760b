"""Findings about values that the processes of the application export about themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.check import Finding

if TYPE_CHECKING:
    from runbooks.check import CheckContext
    from runbooks.readings import Sample
    from services.contracts.telemetry import Metric


def above(context: CheckContext, metric: Metric, limit: float, reason: str, **labels: str) -> Finding | None:
    """Return a finding if a value is above a limit.

    Args:
        context: the environment.
        metric: the metric.
        limit: the highest value that is normal.
        reason: what a higher value means; the highest one is added.
        labels: labels of the values that count.
    """
    samples = [
        sample
        for sample in context.samples(metric.name)
        if sample.value > limit and labels.items() <= sample.labels.items()
    ]
    if not samples:
        return None
    highest = max(sample.value for sample in samples)
    return Finding(
        f"{reason}: {highest:g} {metric.unit}", tuple(describe(metric, sample) for sample in samples)
    )


def describe(metric: Metric, sample: Sample) -> str:
    """Return a sample as text.

    Args:
        metric: its metric.
        sample: the sample.
    """
    labels = ", ".join(f"{key}={value}" for key, value in sample.labels.items())
    return f"{metric.name}{{{labels}}} = {sample.value:g}"
