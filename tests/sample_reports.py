"""Reports with every part, as tests of their pages render them."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import chaos.context
from chaos.results import ActivityResult, CampaignResult, ChaosReport, ExperimentRun
from chaos.timeline import Event
from chaos.traffic.client_stats import StreamStats, compute_stats
from cli.actions.load.delivery import CampaignOutcome, OfferedCampaigns, merge_outcomes
from cli.actions.slo import SloReport, evaluate_slos
from cli.actions.slo import render_html as render_slo_page
from infra.measurements.measurements import Measurement, MeasurementStore
from infra.measurements.run_values import Distribution, RunOutcome, RunValue
from loadtests.generator.recorder import Recorder
from loadtests.merge import merge_results
from loadtests.protocol import CreatedCampaign, LoadProfile
from loadtests.results import Annotation, CpuOverTime, HostCpu, LoadReport, Messages, Requests, ResourceUsage
from loadtests.shapes import Shape
from services.contracts.slo import SLOS

SECONDS = 120
_STALL = range(40, 52)
"""Seconds of a stall: slow requests, some without an answer."""
_ERROR = "HTTPError: 503 Server Error: <Service Unavailable> for url: /campaigns/0192f7a1-3c44-7b1e-9d0a-1f2e3d4c5b6a"


@cache
def _requests() -> Requests:
    recorder = Recorder(start=0.0)
    for number in range(SECONDS * 20):
        due_at = number / 20
        recorder.record_due(due_at)
        is_stalled = int(due_at) in _STALL
        if is_stalled and number % 10 < 3:
            outcomes = (recorder.record_dropped, recorder.record_unresolved)
            outcomes[number % 2](due_at)
            continue
        seconds = 0.02 + 0.01 * math.sin(number) + (52 - due_at if is_stalled else 0.0)
        error = _ERROR if is_stalled and number % 10 == 3 else None
        recorder.record_request(
            "create campaign" if number % 2 else "list campaigns", due_at, due_at + seconds, error
        )
    return merge_results([recorder.result(ended_at=SECONDS + 8.0)])


@cache
def _messages() -> Messages:
    outcomes = []
    for number in range(SECONDS):
        delay = 0.5 + (52 - number if number in _STALL else 0)
        receipts = [number + delay + 0.01 * message for message in range(100)]
        created = CreatedCampaign(company=f"load-{number % 40:03}", id=str(number), due_at=float(number))
        outcomes.append(CampaignOutcome(created, Counter({"delivered": 100}), receipts=receipts))
    outcomes[45].receipts = outcomes[45].receipts[:60]
    outcomes[45].states = Counter({"delivered": 60, "uncertain": 40})
    offered = OfferedCampaigns([outcome.created for outcome in outcomes], 1, 100, 0.0)
    return merge_outcomes(outcomes, offered, ended_at=SECONDS + 10.0)


def _cpu_over_time() -> CpuOverTime:
    seconds = range(SECONDS + 10)
    names = ("postgres", "kafka", "simulator", "dispatcher", "planner", "whatsapp-worker", "campaigns-api")
    components = {
        name: tuple(
            None if second > SECONDS else round((0.3 + 0.05 * math.sin(second / 5)) / position, 3)
            for second in seconds
        )
        for position, name in enumerate(names, 1)
    }
    used = tuple(round(1.4 + 0.4 * math.sin(second / 9), 3) for second in seconds)
    return CpuOverTime(
        interval_seconds=1, host={"used": used, "stolen": tuple(0.1 for _ in seconds)}, components=components
    )


def load_report(**changes: Any) -> LoadReport:
    """Return the report of a load test with a fault, failures and undelivered messages."""
    values: dict[str, Any] = {
        "scenario": "end-to-end",
        "title": "Consecutive campaigns of 100, latency of each message from acceptance to receipt by the provider",
        "unit": "messages",
        "profile": LoadProfile(shape=Shape.STEADY, rate=2000, duration_seconds=SECONDS),
        "generators": 2,
        "environment": "local",
        "started_at": "2026-11-30T10:00:00+00:00",
        "command": "esq load run local end-to-end --rate 2000 --with-chaos postgres-primary-killed",
        "slo_metrics": {
            "end-to-end-latency-p99": "messages.p99",
            "load-lost": "messages.lost",
            "load-duplicated": "messages.duplicated",
        },
        "requests": _requests(),
        "messages": _messages(),
        "annotations": (
            Annotation(
                at_seconds=40.0, description="process-kill of postgres-0 <patroni>", is_injection=True
            ),
            Annotation(
                at_seconds=52.0, description="process-kill of postgres-0 <patroni> undone", is_injection=False
            ),
        ),
        "resource_usage": {
            "postgres": ResourceUsage(pods=3, cores=0.17, memory_mib=211, limit_mib=0),
            "worker": ResourceUsage(pods=2, cores=0.02, memory_mib=95, limit_mib=256),
        },
        "host_cpu": HostCpu(cores=2, used=0.91, steal=0.03),
        "cpu_over_time": _cpu_over_time(),
        "experiment": "postgres-primary-killed",
        "experiment_report": "/var/lib/esq/local/chaos/reports/20261130T100000Z-postgres-primary-killed/report.html",
        "host": {"cores": 2, "memory_gib": 24.0, "kernel": "6.18.0"},
        "versions": {"locust": "2.47.0", "gevent": "26.9.0"},
        "commit": "13a1fcc",
        **changes,
    }
    return LoadReport.model_validate(values)


def _stream(period: float, outage: range = range(0), partial: range = range(0)) -> StreamStats:
    """Return the statistics of a stream that loses every attempt of an outage and most of a partial one."""
    acked, failed = [], 0
    for number in range(int(90 / period)):
        planned = number * period
        if int(planned) in outage or (int(planned) in partial and number % 5):
            failed += 1
        else:
            acked.append((number, planned, planned + 0.004 + 0.02 * (int(planned) in partial)))
    log = {
        "started_at": 0.0,
        "period": period,
        "acked": acked,
        "failed": failed,
        "dropped": 0,
        "late": 0,
        "corrupt": 0,
        "stale": 0,
        "errors": {"ReadTimeout: <no> answer": failed} if failed else {},
    }
    return compute_stats(log, ended_at=90.0, stored=[number for number, _, _ in acked])


def _experiment_run(**changes: Any) -> ExperimentRun:
    fault = "node-death of zone-b"
    values: dict[str, Any] = {
        "started_at": 0.0,
        "ended_at": 90.0,
        "annotations": (
            chaos.context.Annotation(
                at=15.0, description=fault, is_injection=True, commands="kill -KILL <pid>"
            ),
            chaos.context.Annotation(at=60.0, description=f"{fault} undone", is_injection=False),
        ),
        "activities": (
            ActivityResult(name="kill the node of the primary", type="action", status="succeeded"),
            ActivityResult(name="the platform is healthy", type="probe", status="succeeded"),
        ),
        "streams": {
            "edge.read": _stream(0.05, partial=range(16, 22)),
            "edge.write": _stream(0.1, range(15, 27)),
            "kafka.write.0": _stream(0.05, range(15, 19)),
            "kafka.write.1": _stream(0.05),
            "object-store.write": _stream(0.25, partial=range(15, 25)),
            "postgres.write": _stream(0.05, range(15, 33)),
            "redis.write": _stream(0.05),
        },
        "events": (
            Event(at=20.0, subject="node zone-b", before="ready", after="lost"),
            Event(at=33.0, subject="postgres leader", before="postgres-1", after="postgres-0"),
        ),
        "campaign": CampaignResult(planned=1000, seconds=40.0, lost=0, duplicated=0, uncertain=2),
        "last_reading_at": 90.0,
        "failovers": 1,
        **changes,
    }
    return ExperimentRun(**values)


def chaos_report() -> ChaosReport:
    """Return the report of an experiment with a valid, an invalid, an aborted and a crashed run."""
    failed = ActivityResult(
        name="cut the zone off",
        type="action",
        status="failed",
        error="ActivityFailed: `nft` exited with 1 <rule>",
    )
    not_run = ActivityResult(name="the platform is healthy", type="probe", status="not run")
    runs = (
        _experiment_run(),
        _experiment_run(activities=(failed, not_run), annotations=()),
        _experiment_run(abort_reason="no acknowledgement of postgres.write for 60 s", status="interrupted"),
        ExperimentRun(started_at=0.0, ended_at=0.0, error="the traffic process exited with 1"),
    )
    return ChaosReport(
        experiment="node-crash-restart",
        title="The node of the Postgres primary crashes and starts again",
        description="A crash of a node ends all processes of its zone at once.",
        environment="local",
        started_at="2026-11-30T10:00:00+00:00",
        command="esq chaos run local node-crash-restart --runs 4",
        slos={
            "postgres-node-crash": "postgres.write.max_unavailability_seconds",
            "writes-lost": "lost",
            "messages-lost": "campaign.lost",
        },
        runs=runs,
        host={"cores": 2, "memory_gib": 24.0},
        versions={"python": "3.11.2", "postgres": "15.10"},
        commit="13a1fcc",
        runbook="zone-down",
    )


def slo_page(folder: Path) -> str:
    """Return the page of all SLOs.

    Args:
        folder: folder for the measurements.
    """
    now = dt.datetime(2026, 11, 30, 10, tzinfo=dt.UTC)
    return render_slo_page("local", slo_reports(folder, now), now)


def slo_reports(folder: Path, now: dt.datetime) -> list[SloReport]:
    """Return all SLOs with measurements that meet, miss, violate and prove nothing.

    Args:
        folder: folder for the measurements.
        now: time of the measurements.
    """
    store = MeasurementStore(folder)
    outcomes = (RunOutcome.VALID, RunOutcome.VALID, RunOutcome.VALID, RunOutcome.INVALID, RunOutcome.ABORTED)
    for number, slo in enumerate(SLOS[:4]):
        value = (slo.objective / 2, slo.limit * 0.99, slo.limit * 2, slo.limit / 2)[number]
        counted = outcomes if number < 3 else outcomes[3:]
        runs = tuple(RunValue(value=value).from_run(outcome) for outcome in counted)
        measurement = Measurement(
            slo_id=slo.id,
            measured_at=now,
            environment="local",
            unit=slo.unit,
            distribution=Distribution(runs=runs),
            command="esq chaos run local x",
            commit="13a1fcc",
            versions={},
            host={},
        )
        store.add(measurement)
    (folder / SLOS[4].id).mkdir()
    (folder / SLOS[4].id / "broken.json").write_text("{")
    return evaluate_slos(store, now)
