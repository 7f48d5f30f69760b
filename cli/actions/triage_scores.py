"""Scores of triage, from the stored runs of experiments."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from infra.errors import EsqError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chaos.results import ChaosReport
    from chaos.triage_watch import TriageResult
    from infra.measurements.report_store import ReportStore

MIN_SCORE = 0.9
"""Least mean score over all experiments."""


@dataclass(frozen=True)
class ExperimentScore:
    """Scores of an experiment: means over its runs with a triage, times since the injection.

    Attributes:
        experiment: its name.
        runs: number of runs.
        score: mean score.
        diagnosed_after_seconds: mean; None if no run was diagnosed.
        action_after_seconds: mean time to the first safe action; None if none was proposed.
        triage_seconds: longest triage.
        named: causes that the last run named.
    """

    experiment: str
    runs: int
    score: float
    diagnosed_after_seconds: float | None
    action_after_seconds: float | None
    triage_seconds: float
    named: tuple[str, ...]


def experiment_scores(store: ReportStore[ChaosReport]) -> list[ExperimentScore]:
    """Return the scores of the experiments whose runs had a triage, worst first.

    Reports that cannot be read are left out; a report without a triage too.
    """
    results: dict[str, list[TriageResult]] = {}
    for name in store.names():
        try:
            report = store.read(name)[0]
        except EsqError:
            continue
        triages = [run.triage for run in report.runs if run.triage and run.triage.score is not None]
        results.setdefault(report.experiment, []).extend(triages)
    scores = [_score(experiment, triages) for experiment, triages in results.items() if triages]
    return sorted(scores, key=lambda entry: (entry.score, entry.experiment))


def _score(experiment: str, triages: list[TriageResult]) -> ExperimentScore:
    return ExperimentScore(
        experiment=experiment,
        runs=len(triages),
        score=statistics.fmean(triage.score or 0.0 for triage in triages),
        diagnosed_after_seconds=_mean(triage.diagnosed_after_seconds for triage in triages),
        action_after_seconds=_mean(triage.action_after_seconds for triage in triages),
        triage_seconds=max(triage.triage_seconds for triage in triages),
        named=triages[-1].named,
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def total_score(scores: list[ExperimentScore]) -> float | None:
    """Return the mean over the experiments; None without any."""
    return _mean(entry.score for entry in scores)


def to_dict(environment: str, scores: list[ExperimentScore]) -> dict[str, Any]:
    """Return plain values.

    Args:
        environment: name of the environment.
        scores: the scores.
    """
    return {
        "environment": environment,
        "score": total_score(scores),
        "min_score": MIN_SCORE,
        "experiments": [asdict(entry) for entry in scores],
    }
