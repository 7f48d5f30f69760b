"""Incidents: what was wrong, and what was done about it. Pure.

An incident is a run of a runbook with the diagnoses around it, or diagnoses without a run that are close.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.alerts.catalog import ALERT_BY_SLUG

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runbooks.run_record import RunRecord
    from runbooks.triage_record import TriageRecord

TOGETHER = dt.timedelta(minutes=15)
"""Diagnoses this close to each other, or to a run, belong to one incident."""


@dataclass(frozen=True)
class TimelineEntry:
    """Something that happened.

    Attributes:
        at: its time (UTC).
        kind: what tells of it: `alert`, `triage`, `run`, `deploy`, `fault`, `log`.
        text: what happened, in one line.
    """

    at: dt.datetime
    kind: str
    text: str


@dataclass(frozen=True)
class Incident:
    """An incident.

    Attributes:
        id: id of its run, or of its first diagnosis.
        environment: name of the environment.
        started_at: its first alert, diagnosis or step (UTC).
        ended_at: its end (UTC); None while it is open, or if the end is not known.
        state: state of its run; `diagnosed` without one.
        runbook: slug of its runbook.
        run: its run; None without one.
        triages: its diagnoses, oldest first.
    """

    id: str
    environment: str
    started_at: dt.datetime
    ended_at: dt.datetime | None
    state: str
    runbook: str
    run: RunRecord | None = None
    triages: tuple[TriageRecord, ...] = ()

    @property
    def causes(self) -> list[Mapping[str, Any]]:
        """Causes with evidence: of the last diagnosis that has one, else what the run read."""
        for triage in reversed(self.triages):
            if triage.causes:
                return list(triage.causes)
        steps = self.run.steps if self.run else ()
        return [
            {"check": step.id.partition(" ")[2], "reason": step.reason, "evidence": list(step.evidence)}
            for step in steps
            if step.state == "finding"
        ]

    @property
    def impact(self) -> str:
        """What users notice, from the catalog."""
        alert = ALERT_BY_SLUG.get(self.runbook)
        return alert.impact if alert else "Not known."

    @property
    def events(self) -> list[TimelineEntry]:
        """What its own records tell, in order."""
        run_entries = _run_entries(self.run) if self.run else []
        triage_entries = [TimelineEntry(triage.at, "triage", triage.summary) for triage in self.triages]
        return sorted([*run_entries, *triage_entries], key=lambda entry: entry.at)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "id": self.id,
            "environment": self.environment,
            "started_at": self.started_at.isoformat(),
            "ended_at": self.ended_at.isoformat() if self.ended_at else None,
            "state": self.state,
            "runbook": self.runbook,
            "impact": self.impact,
            "causes": self.causes,
            "alerts": [alert.name for alert in self.run.alerts] if self.run else [],
            "triages": len(self.triages),
        }


def find_incidents(runs: Iterable[RunRecord], triages: Sequence[TriageRecord]) -> list[Incident]:
    """Return the incidents, oldest first.

    Args:
        runs: the runs of runbooks; one that was merged belongs to the incident of the other.
        triages: the diagnoses, oldest first.
    """
    remaining = list(triages)
    incidents = []
    for run in runs:
        if run.phase != "merged":
            own = [triage for triage in remaining if _belongs(triage, run)]
            remaining = [triage for triage in remaining if triage not in own]
            incidents.append(_of_run(run, tuple(own)))
    incidents += [_of_triages(group) for group in _groups(remaining)]
    return sorted(incidents, key=lambda incident: incident.started_at)


def _belongs(triage: TriageRecord, run: RunRecord) -> bool:
    is_before_end = run.ended_at is None or triage.at <= run.ended_at
    return _start(run) - TOGETHER <= triage.at and is_before_end


def _start(run: RunRecord) -> dt.datetime:
    return min([run.started_at, *(alert.started_at for alert in run.alerts)])


def _of_run(run: RunRecord, triages: tuple[TriageRecord, ...]) -> Incident:
    started_at = min([_start(run), *(triage.at for triage in triages)])
    return Incident(
        run.id, run.environment, started_at, run.ended_at, run.state, run.runbook, run=run, triages=triages
    )


def _groups(triages: Iterable[TriageRecord]) -> list[list[TriageRecord]]:
    groups: list[list[TriageRecord]] = []
    for triage in triages:
        if groups and triage.at - groups[-1][-1].at < TOGETHER:
            groups[-1].append(triage)
        else:
            groups.append([triage])
    return [group for group in groups if any(triage.causes for triage in group)]


def _of_triages(group: Sequence[TriageRecord]) -> Incident:
    last = group[-1]
    runbook = next(triage.runbook for triage in reversed(group) if triage.causes)
    ended_at = None if last.causes else last.at
    return Incident(
        group[0].id, last.environment, group[0].at, ended_at, "diagnosed", runbook, triages=tuple(group)
    )


def _run_entries(run: RunRecord) -> list[TimelineEntry]:
    entries = [TimelineEntry(run.started_at, "run", f"run {run.id} of the runbook {run.runbook} started")]
    for alert in run.alerts:
        entries.append(TimelineEntry(alert.started_at, "alert", f"{alert.name} fires: {alert.summary}"))
        if alert.resolved_at:
            entries.append(TimelineEntry(alert.resolved_at, "alert", f"{alert.name} has ended"))
    for step in run.steps:
        if step.started_at:
            result = f": {step.reason}" if step.reason else ""
            entries.append(TimelineEntry(step.started_at, "run", f"{step.id} {step.state}{result}"))
    if run.ended_at:
        entries.append(TimelineEntry(run.ended_at, "run", f"run {run.id} is {run.state}"))
    return entries
