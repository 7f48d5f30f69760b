"""How every promise stands, by the last evidence of it."""

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
from services.contracts.promises import BY_ID, PROMISES, Promise, Standing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.environment import Environment

NEVER = "unmeasured"
NEVER_SPAN = dt.timedelta(days=30)
"""What must never happen is judged by all evidence of so long: a good run does not make a bad one undone."""
_TEMPLATE = Path(__file__).parents[1] / "html" / "promises.html.j2"
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def record(
    environment: Environment, promise: str, values: Sequence[float], command: str, detail: dict[str, Any]
) -> Measurement:
    """Keep figures as evidence of a promise; return the record.

    Args:
        environment: what they were measured on.
        promise: id of the promise.
        values: one per run.
        command: what measured them.
        detail: what else is worth keeping, e.g. where the report is.
    """
    made = Measurement(
        slo_id=promise,
        measured_at=dt.datetime.now(dt.UTC),
        environment=environment.name,
        unit=BY_ID[promise].unit,
        distribution=Distribution(values=tuple(values)),
        command=command,
        commit=current_commit(),
        versions=package_versions(),
        host=host_facts(),
        detail=detail,
    )
    store(environment).add(made)
    return made


@dataclass(frozen=True)
class Stand:
    """A promise and what was last measured of it.

    Attributes:
        promise: what is promised.
        evidence: the last record; None when it was never measured.
        age: how old the record is.
    """

    promise: Promise
    evidence: Measurement | None
    age: dt.timedelta | None

    @property
    def verdict(self) -> str:
        """`kept`, `behind`, `broken` or `unmeasured`."""
        if self.evidence is None:
            return NEVER
        figures = self.evidence.distribution
        return self.promise.standing(figures.median, figures.max).value

    @property
    def broken(self) -> bool:
        """Whether the promise does not hold."""
        return self.verdict == Standing.BROKEN

    def report(self) -> dict[str, Any]:
        """Return it as plain values."""
        found = self.evidence
        return {
            **asdict(self.promise),
            "verdict": self.verdict,
            "median": found.distribution.median if found else None,
            "worst": found.distribution.max if found else None,
            "runs": len(found.distribution.values) if found else 0,
            "at": found.measured_at.isoformat() if found else None,
            "age_seconds": round(self.age.total_seconds()) if self.age else None,
            "commit": found.commit if found else None,
        }


def store(environment: Environment) -> MeasurementStore:
    """Return the evidence of an environment."""
    return MeasurementStore(environment.folder / "evidence")


def stand(evidence: MeasurementStore, now: dt.datetime | None = None) -> list[Stand]:
    """Return how each promise stands at the time `now` (UTC)."""
    now = now or dt.datetime.now(dt.UTC)
    found = [(promise, _counting(promise, evidence, now)) for promise in PROMISES]
    return [Stand(promise, last, now - last.measured_at if last else None) for promise, last in found]


def _counting(promise: Promise, evidence: MeasurementStore, now: dt.datetime) -> Measurement | None:
    """Return what a promise is judged by: the last record, or all of late where not one may ever happen."""
    last = evidence.latest(promise.id)
    if last is None or promise.ceiling > 0:
        return last
    late = [
        each for each in evidence.for_slo(promise.id) if now - each.measured_at <= NEVER_SPAN or each == last
    ]
    values = tuple(value for each in late for value in each.distribution.values)
    return last.model_copy(update={"distribution": Distribution(values=values)})


def age(delta: dt.timedelta | None) -> str:
    """Say how long ago something was, in its largest unit."""
    if delta is None:
        return ""
    seconds = delta.total_seconds()
    return next(
        (f"{seconds / size:.0f} {unit} ago" for size, unit in _UNITS if seconds >= size),
        f"{seconds:.0f} s ago",
    )


def html(environment: str, stands: list[Stand], now: dt.datetime | None = None) -> str:
    """Return the page of all promises."""
    rows = [{**each.report(), "measured": age(each.age)} for each in stands]
    at = (now or dt.datetime.now(dt.UTC)).strftime("%Y-%m-%d %H:%M UTC")
    return render_page(_TEMPLATE, environment=environment, standings=rows, at=at)
