"""Evaluation of every SLO by the last runs of its stored measurements."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.errors import Problem
from infra.measurements.html import render_page
from infra.measurements.measurements import (
    Measurement,
    MeasurementStore,
    current_commit,
    host_facts,
    package_versions,
)
from infra.measurements.run_values import Distribution, RunOutcome, RunValue
from infra.measurements.slo_evaluation import slo_status
from services.contracts.slo import EVIDENCE_RUNS, MIN_RUNS, SLO_BY_ID, SLOS, Slo, SloStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.environment import Environment

UNMEASURED = "unmeasured"
ZERO_TOLERANCE_WINDOW = dt.timedelta(days=30)
"""An SLO with the limit 0 is evaluated by all measurements of this period: a later good run does not undo a
violation."""
_TEMPLATE = Path(__file__).parents[1] / "html" / "slo.html.j2"
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def record_measurement(
    environment: Environment, slo_id: str, runs: Sequence[RunValue], command: str, detail: dict[str, Any]
) -> Measurement:
    """Store a measurement of an SLO.

    Args:
        environment: the measured environment.
        slo_id: id of the SLO.
        runs: a value per run, in the unit of the SLO.
        command: command line that measured them.
        detail: further data, e.g. the path of the report.

    Returns:
        The measurement.
    """
    measurement = Measurement(
        slo_id=slo_id,
        measured_at=dt.datetime.now(dt.UTC),
        environment=environment.name,
        unit=SLO_BY_ID[slo_id].unit,
        distribution=Distribution(runs=tuple(runs)),
        command=command,
        commit=current_commit(),
        versions=package_versions(),
        host=host_facts(),
        detail=detail,
    )
    measurement_store(environment).add(measurement)
    return measurement


@dataclass(frozen=True)
class SloReport:
    """An SLO and the evidence for it.

    Attributes:
        slo: the SLO.
        distribution: the values of its last runs; without runs if it was never measured.
        measurement: the last one; None when it was never measured.
        age: age of the last measurement.
        problems: its records that cannot be read, or are in another unit.
    """

    slo: Slo
    distribution: Distribution
    measurement: Measurement | None
    age: dt.timedelta | None
    problems: tuple[Problem, ...] = ()

    @property
    def status(self) -> str:
        """`met`, `missed`, `violated`, `insufficient` or `unmeasured`."""
        if self.measurement is None:
            return UNMEASURED
        return slo_status(self.slo, self.distribution, MIN_RUNS).value

    @property
    def violated(self) -> bool:
        """Whether a run exceeded the limit."""
        return self.status == SloStatus.VIOLATED

    @property
    def measured(self) -> bool:
        """Whether there are enough runs to decide."""
        return self.status not in {UNMEASURED, SloStatus.INSUFFICIENT}

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        measurement, distribution = self.measurement, self.distribution
        outcomes = Counter(run.outcome for run in distribution.runs)
        return {
            **asdict(self.slo),
            "status": self.status,
            "median": distribution.median.value,
            "median_is_lower_bound": distribution.median.censored,
            "worst": distribution.max.value,
            "worst_is_lower_bound": distribution.max.censored,
            "runs": len(distribution.runs),
            "runs_counted": distribution.valid_runs,
            "min_runs": MIN_RUNS,
            **{f"runs_{outcome}": outcomes[outcome] for outcome in RunOutcome},
            "measured_at": measurement.measured_at.isoformat() if measurement else None,
            "age_seconds": round(self.age.total_seconds()) if self.age else None,
            "commit": measurement.commit if measurement else None,
            "unreadable": [asdict(problem) for problem in self.problems],
        }


def measurement_store(environment: Environment) -> MeasurementStore:
    """Return the measurements of an environment."""
    return MeasurementStore(environment.folder / "measurements")


def evaluate_slos(store: MeasurementStore, now: dt.datetime | None = None) -> list[SloReport]:
    """Evaluate every SLO.

    Args:
        store: the measurements.
        now: current time (UTC); the time of the call by default.

    Returns:
        A report for each SLO, in the order of `SLOS`.
    """
    now = now or dt.datetime.now(dt.UTC)
    return [_evaluate(slo, store, now) for slo in SLOS]


def _evaluate(slo: Slo, store: MeasurementStore, now: dt.datetime) -> SloReport:
    records, problems = store.for_slo(slo.id)
    measurements = [record for record in records if record.unit == slo.unit]
    problems += [_unit_problem(slo, record) for record in records if record.unit != slo.unit]
    latest = measurements[-1] if measurements else None
    if slo.limit == 0:
        window = [measurement for measurement in measurements if _in_window(measurement, now)]
        evidence = _runs(window) or _runs(measurements[-1:])
    else:
        evidence = _runs(measurements)[-EVIDENCE_RUNS:]
    age = now - latest.measured_at if latest else None
    return SloReport(slo, Distribution(runs=evidence), latest, age, tuple(problems))


def _unit_problem(slo: Slo, record: Measurement) -> Problem:
    measured_at = record.measured_at.isoformat(timespec="seconds")
    return Problem(
        f"the measurement of {measured_at} is in `{record.unit}`, the SLO in `{slo.unit}`",
        slo.id,
        "Move its record away and measure again.",
    )


def _in_window(measurement: Measurement, now: dt.datetime) -> bool:
    return now - measurement.measured_at <= ZERO_TOLERANCE_WINDOW


def _runs(measurements: Sequence[Measurement]) -> tuple[RunValue, ...]:
    return tuple(run for measurement in measurements for run in measurement.distribution.runs)


def format_age(age: dt.timedelta | None) -> str:
    """Return an age in its largest unit, e.g. `2 h ago`; empty for None."""
    if age is None:
        return ""
    seconds = age.total_seconds()
    return next(
        (f"{seconds / size:.0f} {unit} ago" for size, unit in _UNITS if seconds >= size),
        f"{seconds:.0f} s ago",
    )


def render_html(environment: str, reports: list[SloReport], now: dt.datetime | None = None) -> str:
    """Return the HTML page of all SLOs.

    Args:
        environment: name of the environment.
        reports: the evaluated SLOs.
        now: current time (UTC); the time of the call by default.
    """
    rows = [
        {
            **report.to_dict(),
            "median": report.distribution.median,
            "worst": report.distribution.max,
            "age": format_age(report.age),
            "command": report.slo.command.replace("ENV", environment),
        }
        for report in reports
    ]
    at = (now or dt.datetime.now(dt.UTC)).strftime("%Y-%m-%d %H:%M UTC")
    return render_page(
        _TEMPLATE,
        environment=environment,
        reports=rows,
        at=at,
        evidence_runs=EVIDENCE_RUNS,
        min_runs=MIN_RUNS,
    )
