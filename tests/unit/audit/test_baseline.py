"""Baseline: stacks, flame graphs, comparison, and settings of a second process."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from cli.actions.audit.baseline.allocations import isolated_settings
from cli.actions.audit.baseline.audit import last_accepted
from cli.actions.audit.baseline.processes import process_name
from cli.actions.audit.baseline.report import BaselineReport, ProcessCost, increases
from cli.actions.audit.baseline.stacks import (
    Box,
    FunctionCost,
    costliest,
    flame_graph,
    parse_stacks,
    render_stacks,
)
from cli.actions.audit.report_stores import report_store
from infra.processes import PROCESSES

if TYPE_CHECKING:
    from pathlib import Path

STACKS = Counter({("main (a.py)", "work (b.py)"): 6, ("main (a.py)", "wait (c.py)"): 3, ("main (a.py)",): 1})


def report(cores: float = 0.5, resident: float = 100.0, allocated: float | None = 40.0) -> BaselineReport:
    cost = ProcessCost(
        name="campaigns-worker", replicas=2, cores=cores, resident_mib=resident, read_bytes=0, written_bytes=0,
        samples=10, functions=(), allocated_mib=allocated,
    )  # fmt: skip
    return BaselineReport(
        started_at="2026-11-30T00:00:00+00:00", environment="local", scenario="campaigns", seconds=60,
        processes=(cost,), command="esq audit baseline local", commit="1", versions={}, host={},
    )  # fmt: skip


def test_stacks_are_read_without_line_numbers_and_written_again() -> None:
    text = "main (a.py:1);work (b.py:2) 4\nmain (a.py:9);work (b.py:3) 2\nnoise\n"

    stacks = parse_stacks(text)

    assert stacks == {("main (a.py)", "work (b.py)"): 6}
    assert parse_stacks(render_stacks(stacks)) == stacks


def test_costliest_functions_have_own_and_total_shares() -> None:
    assert costliest(STACKS, 2) == [
        FunctionCost("work (b.py)", 0.6, 0.6),
        FunctionCost("wait (c.py)", 0.3, 0.3),
    ]
    assert costliest(STACKS, 9)[-1] == FunctionCost("main (a.py)", 0.1, 1.0)


def test_recursion_counts_once_in_the_total() -> None:
    assert costliest({("f (a.py)", "f (a.py)"): 2}, 1) == [FunctionCost("f (a.py)", 1.0, 1.0)]


def test_flame_graph_has_callers_above_what_they_call() -> None:
    assert flame_graph(STACKS) == [
        Box("main (a.py)", 0, 0.0, 1.0),
        Box("wait (c.py)", 1, 0.0, 0.3),
        Box("work (b.py)", 1, 0.3, 0.6),
    ]
    assert flame_graph({}) == []


def test_increase_over_the_limit_is_reported() -> None:
    after = report(cores=0.7, resident=130.0, allocated=60.0)

    assert list(increases(report(), after, 20)) == [
        "campaigns-worker: CPU increased from 0.50 to 0.70 cores (+40 %)",
        "campaigns-worker: resident memory increased from 100.00 to 130.00 MiB (+30 %)",
        "campaigns-worker: allocated memory increased from 40.00 to 60.00 MiB (+50 %)",
    ]


@pytest.mark.parametrize(
    "after",
    [
        report(cores=0.59),
        report(resident=119.0),
        report(allocated=None),
        report(cores=0.1, resident=1.0, allocated=1.0),
    ],
)
def test_small_and_unknown_increases_are_none(after: BaselineReport) -> None:
    assert list(increases(report(), after, 20)) == []


def test_increase_below_the_noise_is_none() -> None:
    assert list(increases(report(cores=0.001), report(cores=0.02), 20)) == []


def test_report_with_violations_is_no_baseline(tmp_path: Path) -> None:
    """Else a second run would accept what the first one reported."""
    store = report_store("baseline", BaselineReport, tmp_path)
    assert last_accepted(store, "campaigns") is None
    for day, violations in ((1, ()), (2, ()), (3, ("CPU increased",))):
        folder = store.create("campaigns", dt.datetime(2026, 11, day, tzinfo=dt.UTC))
        store.write(folder, report().model_copy(update={"violations": violations}), "")
    last = last_accepted(store, "campaigns")
    assert last is not None
    assert last[0] == "20261102T000000Z-campaigns"
    assert last_accepted(store, "api") is None


def test_second_process_reaches_no_server() -> None:
    settings = isolated_settings(
        {
            "ESQ_DATABASE_URL": "postgresql+asyncpg://campaigns_a:secret@postgres.esq-data:5432/esq",
            "ESQ_KAFKA_BOOTSTRAP": "kafka-0:9093,kafka-1:9093",
            "ESQ_CONTACTS_URL": "https://contacts-api.esq-services:8443/v1",
            "ESQ_CA_FILE": "/etc/esq/ca.crt",
            "ESQ_PORT": "8443",
            "ESQ_BATCH": "96",
            "PATH": "/usr/bin",
        }
    )

    assert settings["ESQ_DATABASE_URL"] == "postgresql+asyncpg://campaigns_a:secret@127.0.0.1:9/esq"
    assert settings["ESQ_KAFKA_BOOTSTRAP"] == "127.0.0.1:9"
    assert settings["ESQ_CONTACTS_URL"] == "https://127.0.0.1:9/v1"
    assert settings["ESQ_BATCH"] == "96"
    assert settings["ESQ_PORT"] != "8443"
    assert not {"ESQ_CA_FILE", "PATH"} & settings.keys()


def test_processes_are_recognised_by_their_arguments() -> None:
    assert {process_name(["python3", *process.argv]) for process in PROCESSES} == {p.name for p in PROCESSES}
    assert process_name(["python3", "-m", "http.server"]) is None
    assert process_name([]) is None
