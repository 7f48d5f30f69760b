"""Incidents of an environment: from the runs and diagnoses of this machine, with what else is known."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.actions.chaos import report_store
from cli.actions.deploy_history import deploy_history
from cli.actions.deployment_target import open_target
from cli.actions.open_faults import journal_status, open_journal
from cli.actions.runbook_run import run_store
from cli.actions.triage import TRIAGE_FOLDER
from cli.observability_client import ObservabilityClient
from infra.errors import EsqError, UsageError
from infra.validation import suggest
from runbooks.incident import Incident, TimelineEntry, find_incidents
from runbooks.triage_record import read_diagnoses

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from cli.environment import Environment
    from infra.progress import ProgressReporter

MARGIN = dt.timedelta(minutes=10)
"""Of the timeline before the incident, in which its reason may be, and after it."""
ALERT_STEP_SECONDS = 15.0
MAX_LOG_LINES = 30
ERROR_LOGS = "error OR fatal OR panic"
FIRING = 'ALERTS{alertstate="firing"}'


@dataclass(frozen=True)
class Timeline:
    """What happened around an incident.

    Attributes:
        entries: in order of time.
        unread: by source, why it could not be read.
    """

    entries: tuple[TimelineEntry, ...]
    unread: Mapping[str, str]


def triage_folder(environment: Environment) -> Path:
    """Return the folder of the diagnoses of an environment."""
    return environment.folder / TRIAGE_FOLDER


def list_incidents(environment: Environment) -> list[Incident]:
    """Return the incidents of an environment that this machine knows, oldest first."""
    return find_incidents(run_store(environment).records(), read_diagnoses(triage_folder(environment)))


def find_incident(environment: Environment, incident_id: str) -> Incident:
    """Return an incident; the last one for `last`.

    Args:
        environment: the environment.
        incident_id: its id, or `last`.

    Raises:
        UsageError: there is no such incident.
    """
    known = {incident.id: incident for incident in list_incidents(environment)}
    if incident_id == "last" and known:
        return list(known.values())[-1]
    if incident_id not in known:
        raise UsageError(
            f"there is no incident `{incident_id}`",
            location="INCIDENT",
            remedy=f"{suggest(incident_id, known)}See `esq incident list {environment.name}`.",
        )
    return known[incident_id]


def read_timeline(environment: Environment, incident: Incident, progress: ProgressReporter) -> Timeline:
    """Return what happened around an incident; every source fails on its own.

    Args:
        environment: the environment.
        incident: the incident.
        progress: reports builds of tools.
    """
    start = incident.started_at - MARGIN
    end = (incident.ended_at or dt.datetime.now(dt.UTC)) + MARGIN
    entries, unread = list(incident.events), {}
    for name, source in _sources(environment, progress).items():
        try:
            entries += [entry for entry in source(start, end) if start <= entry.at <= end]
        except EsqError as error:
            unread[name] = error.message
    return Timeline(tuple(sorted(entries, key=lambda entry: entry.at)), unread)


def _sources(
    environment: Environment, progress: ProgressReporter
) -> dict[str, Callable[[dt.datetime, dt.datetime], Sequence[TimelineEntry]]]:
    target = open_target(environment, progress)

    def layer() -> ObservabilityClient:
        return ObservabilityClient(target.kubeconfig)

    return {
        "deploys": lambda *_: [
            TimelineEntry(run.started_at, "deploy", str(run)) for run in deploy_history(target)
        ],
        "experiments": lambda *_: _experiments(environment),
        "alerts": lambda start, end: _alerts(layer(), start, end),
        "logs": lambda start, end: _logs(layer(), start, end),
    }


def _experiments(environment: Environment) -> list[TimelineEntry]:
    entries = []
    for report in report_store(environment).stored():
        entries.append(TimelineEntry(report.started_at, "fault", f"experiment {report.subject} started"))
        entries.append(TimelineEntry(report.written_at, "fault", f"experiment {report.subject} ended"))
    for status in journal_status(open_journal(environment)).faults:
        at = dt.datetime.fromtimestamp(status.entry.opened_at, dt.UTC)
        entries.append(TimelineEntry(at, "fault", f"{status.entry.fault} was injected and is not undone"))
    return entries


def _alerts(layer: ObservabilityClient, start: dt.datetime, end: dt.datetime) -> list[TimelineEntry]:
    """Return when each alert began to fire, and when it ended, from the series that the rules write."""
    entries = []
    for series in layer.metrics_range(FIRING, start, min(end, dt.datetime.now(dt.UTC)), ALERT_STEP_SECONDS):
        name = series.labels.get("alertname", "")
        first, last = series.points[0][0], series.points[-1][0]
        entries.append(TimelineEntry(_time(first), "alert", f"{name} fires"))
        entries.append(TimelineEntry(_time(last), "alert", f"{name} fired for the last time"))
    return entries


def _logs(layer: ObservabilityClient, start: dt.datetime, end: dt.datetime) -> list[TimelineEntry]:
    return [
        TimelineEntry(dt.datetime.fromisoformat(entry["_time"]), "log", entry["_msg"][:200])
        for entry in layer.logs_query(ERROR_LOGS, MAX_LOG_LINES, start, end)
    ]


def _time(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)
