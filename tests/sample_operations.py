"""An environment in trouble, with every part that the operations page shows."""

from __future__ import annotations

import datetime as dt
import os
import re
import time
from pathlib import Path
from typing import Any

from chaos.faults import Fault
from chaos.journal_entry import FaultState, OpenFault, seconds_since_boot
from chaos.run_lock import ActiveRun
from cli.actions.deploy_history import StackRun
from cli.actions.health import Health
from cli.actions.observability_status import EVALUATORS, UP
from cli.actions.open_faults import FaultStatus, JournalStatus
from cli.actions.queue import QueueRow
from cli.observability_client import FiringAlert, Series
from cli.operations_page.fakes import FakeSources, FakeTelemetry
from infra.alerts.burn_rates import INDICATORS, WINDOWS
from infra.components.component_health import ComponentHealth, Replica
from infra.components.observability.spans import Span
from infra.dashboards.burn_graphs import burn_query
from infra.dashboards.graphs import DATA_LAYER, DELIVERY, GOLDEN_SIGNALS, PROVIDER, Query
from infra.environment_health import BackupHealth, EndpointCheck, NodeHealth, ServiceHealth
from infra.errors import Problem
from infra.measurements.report_store import StoredReport
from infra.process_identity import ProcessIdentity
from runbooks.readings import Sample
from tests.sample_reports import slo_reports

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
GRAPHS = (*GOLDEN_SIGNALS, *DELIVERY, *PROVIDER, *DATA_LAYER)
ZONES = ("zone-a", "zone-b", "zone-c")
HOSTILE = "<img src=x onerror=alert(1)>"
"""Text that a careless page would run."""


def sample_sources(folder: Path, **replaced: Any) -> FakeSources:
    """Return sources with values for all panels.

    Args:
        folder: folder for measurements.
        replaced: other values by method.
    """
    now = dt.datetime.now(dt.UTC)
    values = {
        "health": health(),
        "queues": [queue(), queue("whatsapp.webhooks", near_deadline=7, state="paused")],
        "campaigns": {
            "acme": [campaign(), campaign(name=HOSTILE, state="failed", failure="the list is empty")]
        },
        "slos": slo_reports(folder, now),
        "journal": journal(now),
        "experiments": [
            StoredReport("zone-outage", now - dt.timedelta(hours=2), now - dt.timedelta(hours=1))
        ],
        "deploys": [
            StackRun(
                "data", "deploy", "succeeded", now - dt.timedelta(hours=3), now - dt.timedelta(hours=2.9), 12
            ),
            StackRun("services", "deploy", "in-progress", now - dt.timedelta(seconds=20), None, 0),
        ],
    }
    values |= {
        "telemetry": telemetry(now),
        "runbooks": {"postgres-down": "# Postgres down\n\nesq status local"},
    }
    return FakeSources(values | replaced)


def telemetry(now: dt.datetime) -> FakeTelemetry:
    """Return an observability layer with values for all graphs, alerts, a trace and log lines."""
    return FakeTelemetry(
        samples=burn_samples() | {query: [Sample({}, 2.0)] for query in (UP, EVALUATORS)},
        series={query.expression: graph_series(query, now) for graph in GRAPHS for query in graph.queries},
        entries=log_entries(now),
        spans=spans(now.timestamp()),
        firing=firing_alerts(now),
    )


def burn_samples() -> dict[str, list[Sample]]:
    """Return a burn rate of 2 for all windows."""
    return {
        burn_query(indicator, window): [Sample({}, 2.0)] for indicator in INDICATORS for window in WINDOWS
    }


def graph_series(query: Query, now: dt.datetime) -> list[Series]:
    """Return two series of the last hour for a query with labels in its legend, else one."""
    start = now.timestamp() - 3600
    names = re.findall(r"\{\{(\w+)\}\}", query.legend)
    values = ("first", HOSTILE) if names else ("",)
    return [
        Series(
            dict.fromkeys(names, value),
            tuple((start + 60 * step, (number + 1) * 20 + step % 30) for step in range(61)),
        )
        for number, value in enumerate(values)
    ]


def firing_alerts(now: dt.datetime) -> list[FiringAlert]:
    """Return a page, a ticket, and an alert that another one inhibits."""
    page = FiringAlert(
        {"alertname": "PostgresDown", "severity": "page"},
        {"summary": "Postgres has no primary"},
        now - dt.timedelta(minutes=2),
        "active",
    )
    ticket = FiringAlert(
        {"alertname": "DiskPressure", "severity": "ticket", "node": "node-a"},
        {"summary": "The disk of node-a is 85 % full"},
        now - dt.timedelta(hours=2),
        "active",
    )
    inhibited = FiringAlert(
        {"alertname": "PostgresSlow", "severity": "page"},
        {"summary": "slow"},
        now - dt.timedelta(minutes=1),
        "suppressed",
        inhibited_by=("1",),
    )
    return [ticket, inhibited, page]


def spans(started_at: float) -> list[Span]:
    """Return a trace with nested spans, a failed one, and one whose parent is missing."""
    rows = (
        (1, "", "POST /campaigns", 0.0, 0.2),
        (3, f"{2:016x}", "INSERT campaigns", 0.05, 0.1),
        (2, f"{1:016x}", "create campaign", 0.02, 0.15),
        (4, f"{9:016x}", "send", 0.18, 0.8),
    )
    return [
        Span(
            trace_id=TRACE_ID,
            span_id=f"{number:016x}",
            parent_id=parent_id,
            name=name,
            service="campaigns-api",
            started_at=started_at + offset,
            seconds=seconds,
            status="error" if name == "send" else "ok",
            attributes={"http.route": HOSTILE} if number == 1 else {},
        )
        for number, parent_id, name, offset, seconds in rows
    ]


def log_entries(now: dt.datetime) -> list[dict[str, str]]:
    """Return log lines, of which two belong to the trace."""
    common = {"_time": now.isoformat(), "service": "campaigns-api", "level": "info"}
    return [
        {**common, "_msg": "campaign created", "trace_id": TRACE_ID},
        {**common, "_msg": HOSTILE, "level": "error", "trace_id": TRACE_ID},
        {**common, "_msg": "unrelated", "trace_id": ""},
    ]


def health(*, lost_zone: str = "zone-b") -> Health:
    """Return the health of three zones of which one is lost; empty for none."""
    remaining = [zone for zone in ZONES if zone != lost_zone]
    replicas = tuple(
        Replica(
            name=f"postgres-{number}",
            zone=zone,
            role="primary" if number == 0 else "quorum standby",
            state="streaming" if zone in remaining else "no answer",
            healthy=zone in remaining,
            lag=None if number == 0 else 1_048_576,
            lag_unit="bytes",
        )
        for number, zone in enumerate(ZONES)
    )
    return Health(
        nodes=tuple(NodeHealth(f"node-{zone}", zone, zone in remaining) for zone in ZONES),
        data=(
            ComponentHealth(
                component="postgres",
                healthy=not lost_zone,
                summary="postgres-1: no answer" if lost_zone else "three replicas",
                replicas=replicas,
            ),
        ),
        backups=BackupHealth("last backup 3 h ago"),
        services=(
            ServiceHealth("campaigns-api", 2, 2, {"zone-a": 1, "zone-c": 1}),
            ServiceHealth(
                "whatsapp-dispatcher", 2 - bool(lost_zone), 2, dict.fromkeys(remaining[:1] or ZONES[:2], 1)
            ),
        ),
        endpoints=(
            EndpointCheck("/campaigns"),
            EndpointCheck("/webhooks", "status 503" if lost_zone else ""),
        ),
        outages=(f"node node-{lost_zone} is not ready", "edge /webhooks: status 503") if lost_zone else (),
    )


def healthy() -> Health:
    """Return the health of an environment without problems."""
    working = health(lost_zone="")
    services = tuple(ServiceHealth(item.name, 2, 2, {"zone-a": 1, "zone-c": 1}) for item in working.services)
    return Health(working.nodes, working.data, working.backups, services, working.endpoints)


def queue(name: str = "whatsapp.dispatch", *, near_deadline: int = 0, state: str = "running") -> QueueRow:
    """Return the state of a queue."""
    return QueueRow(name, (12, 3, 0), 4, 2, near_deadline, 1.25, 3.5, None, state)


def campaign(**fields: Any) -> dict[str, Any]:
    """Return a campaign as the API returns it, with some fields replaced."""
    counts = {"pending": 60_000, "queued": 1_000, "delivered": 38_000, "failed": 1_000}
    common = {"id": "0192f7a1", "name": "autumn", "state": "active", "planned": 100_000, "total": 100_000}
    return {**common, "counts": counts, "failure": None, "status_reason": None, **fields}


def journal(now: dt.datetime) -> JournalStatus:
    """Return a journal with a run in progress, a fault that was left, and an entry that cannot be read."""
    owner = ProcessIdentity(pid=os.getpid(), start_ticks=1, boot_id="x")
    entry = OpenFault(
        id="1",
        state=FaultState.OPEN,
        fault=Fault(kind="zone-isolation", target="zone-b", inject=()),
        experiment="zone-isolated",
        run_id="r",
        owner=owner,
        opened_at=time.time() - 300,
        expires_at=seconds_since_boot() - 1,
        undo_error="iptables: resource unavailable",
    )
    fault = FaultStatus(entry, 300.0, owner_alive=False, is_left=True, expires_seconds=-1, retry_seconds=0)
    problem = Problem("the journal entry cannot be read", "open/2.json", "Delete it.")
    started_at = (now - dt.timedelta(minutes=6)).isoformat()
    run = ActiveRun(experiment="zone-isolated", run_id="r", owner=owner, started_at=started_at)
    return JournalStatus(run, is_watched=True, faults=(fault,), problems=(problem,))


def quiet_journal() -> JournalStatus:
    """Return a journal without faults."""
    return JournalStatus(None, is_watched=False, faults=(), problems=())
