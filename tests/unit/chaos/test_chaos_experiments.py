"""Experiments as written, the guard, and reports against promises."""

from __future__ import annotations

import datetime as dt
import importlib
import inspect
from pathlib import Path

import pytest

from chaos import experiment, guard
from chaos.context import Context, Mark, current, running
from chaos.faults import Fault
from chaos.page import html
from chaos.result import Campaign, Report, Run
from chaos.timeline import Event
from chaos.traffic.figures import Figures, figures
from infra.errors import EsqError, ProblemsError, UsageError
from infra.measurements.report_store import ReportStore
from infra.progress import RecordedStep
from services.contracts.promises import BY_ID, PROMISES, Standing

NAMES = experiment.names()


def lane(gap: float, lost: int = 0, **more: int) -> Figures:
    acked = [(0, 0.0, 0.1), (1, gap, gap + 0.1)]
    found = figures(
        {"begun": 0.0, "acked": acked, "failed": 0, "errors": {}, "dropped": 0, "late": 0}, gap + 0.2
    )
    return found.model_copy(update={"gap": gap, "lost": lost, **more})


def ran(**lanes: float) -> Run:
    marks = (Mark(at=1.0, what="zone-cut of zone-a", hurts=True, commands="ip link set x down"),)
    events = (Event(at=2.0, what="node zone-a", before="ready", after="lost"),)
    named = {name.replace("_", "."): lane(gap) for name, gap in lanes.items()}
    return Run(began=0.0, ended=40.0, marks=marks, events=events, lanes=named)


def report(*runs: Run, promises: dict[str, str] | None = None) -> Report:
    return Report(
        experiment="zone-lost",
        title="A <zone> lost",
        description="It is gone.",
        environment="local",
        at="2026-11-25T00:00:00+00:00",
        command="esq chaos run zone-lost",
        promises=promises if promises is not None else {"edge-zone-lost": "edge.read.gap"},
        runs=runs,
        host={"cores": 2.0},
        versions={"python": "3.11"},
        commit="abc",
        runbook="zone-lost",
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_can_be_run_as_it_is_written(name: str) -> None:
    found = experiment.load(name)
    assert found.runbook.startswith("# ")
    for activity in found.document["method"]:
        provider = activity["provider"]
        function = getattr(importlib.import_module(provider["module"]), provider["func"])
        inspect.signature(function).bind(**provider.get("arguments", {}))
        assert function.__doc__


def test_every_chaos_promise_is_measured_by_the_experiment_that_it_names() -> None:
    for promise in PROMISES:
        if promise.command.startswith("esq chaos run "):
            assert promise.id in experiment.load(promise.command.rpartition(" ")[2]).addition.promises


def test_all_that_is_wrong_with_an_experiment_is_told_at_once() -> None:
    wrong = {
        "title": "t",
        "description": "d",
        "method": [],
        "extensions": [{"name": "esq", "runbook": "no-such", "promises": {"no-such": "lost"}}],
    }
    with pytest.raises(ProblemsError) as error:
        experiment.parse("wrong", wrong)
    assert "no such runbook" in error.value.detail
    assert "no such promise" in error.value.detail


def test_an_unknown_experiment_is_answered_with_those_there_are() -> None:
    with pytest.raises(UsageError) as error:
        experiment.load("nothing")
    assert "zone-lost" in error.value.remedy


def test_only_local_may_be_hurt_without_its_name() -> None:
    guard.confirm("local", None)
    guard.confirm("prod", "prod")
    for named in (None, "staging"):
        with pytest.raises(UsageError, match="by accident"):
            guard.confirm("prod", named)


def test_silence_beyond_what_is_allowed_is_told() -> None:
    limits = {"kafka.write": 5.0, "edge.read": 5.0}
    assert guard.exceeded({"kafka.write.0": 1.0, "edge.read": 2.0}, limits) == ""
    assert "kafka.write" in guard.exceeded({"kafka.write.0": 1.0, "kafka.write.1": 6.0}, limits)


def test_an_aborted_run_ends_at_its_next_wait() -> None:
    context = Context(target=None, experiment="test", step=RecordedStep("test"))  # type: ignore[arg-type]  # never asked
    context.hold(0.0, "nothing")
    context.abort("too much")
    with pytest.raises(Exception, match="aborted: too much"):
        context.hold(60.0, "nothing")


def test_activities_outside_of_a_run_say_how_to_run_them() -> None:
    with pytest.raises(Exception, match="esq chaos run"):
        current()


def test_a_fault_without_an_undoing_is_marked_and_not_kept_open() -> None:
    context = Context(target=None, experiment="test", step=RecordedStep("test"))  # type: ignore[arg-type]  # never asked
    with running(context):
        current().inject(Fault(kind="kill", target="x", inject=(("true",),)))
        current().undo()
    assert [(mark.what, mark.hurts) for mark in context.marks] == [("kill of x", True)]


def test_metrics_join_the_parts_of_a_lane() -> None:
    run = ran(kafka_write_0=1.0, kafka_write_1=8.0)
    assert run.metric("kafka.write.gap") == 8.0
    assert run.metric("kafka.write.acked") == 4
    assert run.metric("failovers") == 0
    with pytest.raises(EsqError, match="no figure `postgres"):
        run.metric("postgres.write.gap")


def test_what_redis_loses_breaks_no_promise() -> None:
    lanes = {"redis.write": lane(1.0, lost=3), "postgres.write": lane(1.0, lost=1)}
    assert Run(began=0.0, ended=1.0, lanes=lanes).lost == 1


def test_verdicts_are_of_the_median_and_the_worst() -> None:
    promise = BY_ID["edge-zone-lost"]
    assert (promise.target, promise.ceiling) == (5, 25)
    for gaps, standing in (
        ((1.0, 2.0, 20.0), Standing.KEPT),
        ((6.0, 7.0, 8.0), Standing.BEHIND),
        ((1.0, 1.0, 26.0), Standing.BROKEN),
    ):
        (verdict,) = report(*(ran(edge_read=gap) for gap in gaps)).verdicts
        assert verdict.status is standing


def test_runs_that_did_not_end_count_for_nothing() -> None:
    cut_off = ran(edge_read=30.0).model_copy(update={"status": "interrupted"})
    found = report(ran(edge_read=1.0), cut_off)
    assert found.verdicts[0].distribution.values == (1.0,)
    assert not found.good


def test_clients_that_were_late_tell_what_was_lost_but_no_gap() -> None:
    late = {"edge.read": lane(30.0, late=1), "edge.write": lane(1.0, lost=1)}
    promises = {"edge-zone-lost": "edge.read.gap", "writes-lost": "lost"}
    found = report(ran(edge_read=1.0), Run(began=0.0, ended=40.0, lanes=late), promises=promises)
    assert [each.distribution.values for each in found.verdicts] == [(1.0,), (0.0, 1.0)]
    assert [run.trouble for run in found.runs] == ["", "not on time themselves: edge.read"]
    assert not found.good
    assert not report(Run(began=0.0, ended=40.0, lanes=late)).verdicts


def test_the_page_needs_nothing_and_hides_nothing() -> None:
    campaign = Campaign(planned=100, seconds=5.0, lost=0, duplicated=0, uncertain=2)
    text = html(
        report(ran(edge_read=3.5).model_copy(update={"campaign": campaign})), "# Zone lost\nDo <nothing>."
    )
    assert "http://" not in text
    assert "https://" not in text
    assert "<script" not in text
    for word in ("A &lt;zone&gt; lost", "zone-cut of zone-a", "node zone-a: ready", "ip link set x down"):
        assert word in text
    assert "2 uncertain" in text
    assert "Do &lt;nothing&gt;." in text


def test_reports_are_kept_and_found(tmp_path: Path) -> None:
    store = ReportStore(tmp_path, Report, "`esq chaos run`")
    with pytest.raises(UsageError, match="no reports yet"):
        store.read()
    now = dt.datetime(2026, 11, 25, tzinfo=dt.UTC)
    page = store.write(store.create("zone-lost", now), report(ran(edge_read=1.0)), "<p>page</p>")
    found, where = store.read()
    assert where == page
    assert found.experiment == "zone-lost"
    with pytest.raises(UsageError, match="report `x` does not exist"):
        store.read("x")
