"""Reports with every part, as tests of their pages render them."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from cli.actions.load.delivery import CampaignOutcome, OfferedCampaigns, merge_outcomes
from loadtests.generator.recorder import Recorder
from loadtests.merge import merge_results
from loadtests.protocol import CreatedCampaign, LoadProfile
from loadtests.results import Annotation, CpuOverTime, HostCpu, LoadReport, Messages, Requests, ResourceUsage
from loadtests.shapes import Shape

SECONDS = 120
_STALL = range(40, 52)
"""Seconds of a stall: slow requests, some without an answer."""
_ERROR = "HTTPError: 503 Server Error: <Service Unavailable> for url: /campaigns/0192f7a1-3c44-7b1e-9d0a-1f2e3d4c5b6a"


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
                at_seconds=52.0, description="process-kill of postgres-0 <patroni>", is_injection=False
            ),
        ),
        "resource_usage": {
            "postgres": ResourceUsage(pods=3, cores=0.17, memory_mib=211, limit_mib=0),
            "worker": ResourceUsage(pods=2, cores=0.02, memory_mib=95, limit_mib=256),
        },
        "host_cpu": HostCpu(cores=2, used=0.91, steal=0.03),
        "cpu_over_time": _cpu_over_time(),
        "experiment_report": "/var/lib/esq/local/chaos/reports/20261130T100000Z-postgres-primary-killed/report.html",
        "host": {"cores": 2, "memory_gib": 24.0, "kernel": "6.18.0"},
        "versions": {"locust": "2.47.0", "gevent": "26.9.0"},
        "commit": "13a1fcc",
        **changes,
    }
    return LoadReport.model_validate(values)
