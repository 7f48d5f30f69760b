"""Evaluation of every SLO by its stored measurements."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.measurements.html import render_page
from infra.measurements.measurements import (
    Distribution,
    Measurement,
    MeasurementStore,
    current_commit,
    host_facts,
    package_versions,
)
from services.contracts.slo import SLO_BY_ID, SLOS, Slo, SloStatus

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
    environment: Environment, slo_id: str, values: Sequence[float], command: str, detail: dict[str, Any]
) -> Measurement:
    """Store a measurement of an SLO.

    Args:
        environment: the measured environment.
        slo_id: id of the SLO.
        values: measured values, one per run, in the unit of the SLO.
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
        distribution=Distribution(values=tuple(values)),
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
    """An SLO and its last measurement.

    Attributes:
        slo: the SLO.
        measurement: the last one; None when it was never measured.
        age: age of the measurement.
    """

    slo: Slo
    measurement: Measurement | None
    age: dt.timedelta | None

    @property
    def status(self) -> str:
        """`met`, `missed`, `violated` or `unmeasured`."""
        if self.measurement is None:
            return UNMEASURED
        distribution = self.measurement.distribution
        return self.slo.evaluate(distribution.median, distribution.max).value

    @property
    def violated(self) -> bool:
        """Whether a run exceeded the limit."""
        return self.status == SloStatus.VIOLATED

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        measurement = self.measurement
        return {
            **asdict(self.slo),
            "status": self.status,
            "median": measurement.distribution.median if measurement else None,
            "worst": measurement.distribution.max if measurement else None,
            "runs": len(measurement.distribution.values) if measurement else 0,
            "measured_at": measurement.measured_at.isoformat() if measurement else None,
            "age_seconds": round(self.age.total_seconds()) if self.age else None,
            "commit": measurement.commit if measurement else None,
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
    measured = [(slo, _effective_measurement(slo, store, now)) for slo in SLOS]
    return [SloReport(slo, last, now - last.measured_at if last else None) for slo, last in measured]


def _effective_measurement(slo: Slo, store: MeasurementStore, now: dt.datetime) -> Measurement | None:
    """Return the last measurement; for a zero-tolerance SLO merged with the other ones of the window."""
    latest = store.latest(slo.id)
    if latest is None or slo.limit > 0:
        return latest
    recent_measurements = [
        measurement
        for measurement in store.for_slo(slo.id)
        if now - measurement.measured_at <= ZERO_TOLERANCE_WINDOW or measurement == latest
    ]
    values = tuple(value for measurement in recent_measurements for value in measurement.distribution.values)
    return latest.model_copy(update={"distribution": Distribution(values=values)})


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
            "age": format_age(report.age),
            "command": report.slo.command.replace("ENV", environment),
        }
        for report in reports
    ]
    at = (now or dt.datetime.now(dt.UTC)).strftime("%Y-%m-%d %H:%M UTC")
    return render_page(_TEMPLATE, environment=environment, reports=rows, at=at)
