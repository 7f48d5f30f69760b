"""Absent data: an alert about a metric that nobody sends never fires, so `TelemetryMissing` does."""

from __future__ import annotations

from infra.alerts.burn_rates import INDICATORS
from infra.components.observability.scraped_metrics import JOBS

_INDICATOR_METRICS = dict.fromkeys(indicator.presence for indicator in INDICATORS)


def absence_expressions() -> tuple[str, ...]:
    """Return one expression for each job, and for each metric that an objective counts on.

    Each is true while nobody sends the metric; its label `job` names what is missing.
    """
    jobs = (f'absent(up{{job="{job.name}"}})' for job in JOBS)
    metrics = (f'label_set(absent({metric}), "job", "{metric}")' for metric in _INDICATOR_METRICS)
    return (*jobs, *metrics)
