"""Comparison of a load test with the run before."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from cli.actions.load.previous_report import find_previous_report
from infra.measurements.report_store import ReportStore
from loadtests.comparison import compare, find_regressions, is_comparable
from loadtests.html_report import render_html
from loadtests.results import LoadReport
from tests.sample_reports import load_report

if TYPE_CHECKING:
    from pathlib import Path


def test_figures_of_two_runs_are_beside_each_other() -> None:
    after = load_report()
    before = after.model_copy(
        update={"host_cpu": None, "requests": after.requests.model_copy(update={"failed": 12})}
    )
    differences = {item.name: item for item in compare(before, after)}
    failed = differences["requests failed"]
    assert (failed.before, failed.after, failed.change_percent) == (12, 24, 100)
    host_cpu = differences["host CPU used"]
    assert (host_cpu.before, host_cpu.after, host_cpu.change_percent) == (None, 0.91, None)
    assert differences["messages lost"].change_percent is None
    page = render_html(after, before)
    assert "+100.0&nbsp;%" in page
    assert "There is no earlier run" in render_html(after)


def test_only_runs_with_the_same_load_are_comparable() -> None:
    report = load_report()
    other_seed = report.profile.model_copy(update={"seed": 7})
    assert is_comparable(report, load_report(commit="other", profile=other_seed))
    other_profile = report.profile.model_copy(update={"rate": 1000.0})
    for changes in (
        {"profile": other_profile},
        {"scenario": "api"},
        {"experiment": ""},
        {"experiment": "redis-flushed"},
    ):
        assert not is_comparable(report, load_report(**changes))


def test_previous_report_is_the_last_comparable_one(tmp_path: Path) -> None:
    store = ReportStore(tmp_path, LoadReport, "`esq load run`")

    def write(hour: int, **changes: object) -> LoadReport:
        at = dt.datetime(2026, 11, 30, hour, tzinfo=dt.UTC)
        report = load_report(started_at=at.isoformat(timespec="seconds"), commit=str(hour), **changes)
        store.write(store.create(report.scenario, at), report, "<p>page</p>")
        return report

    first = write(8)
    assert find_previous_report(store, first) is None
    write(9, experiment="")
    (store.create("end-to-end", dt.datetime(2026, 11, 30, 10, tzinfo=dt.UTC)) / "report.json").write_text(
        "{}"
    )
    last = write(11)
    assert find_previous_report(store, last) == first


def test_latencies_above_the_tolerance_are_regressions() -> None:
    before = load_report()
    slower = before.requests.all.model_copy(
        update={"percentiles": tuple(seconds * 1.3 for seconds in before.requests.all.percentiles)}
    )
    after = load_report(requests=before.requests.model_copy(update={"all": slower}))
    differences = compare(before, after)
    names = ["all requests, p50", "all requests, p90", "all requests, p99"]
    assert [item.name for item in find_regressions(differences, 25)] == names
    assert find_regressions(differences, 35) == []
    assert find_regressions(compare(after, before), 0) == [], "faster is no regression"
