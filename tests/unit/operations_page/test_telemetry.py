"""Panels and views of the observability layer: alerts, graphs, traces and log lines."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.actions.pod_logs import LogLine
from cli.observability_client import Series
from cli.operations_page import views
from cli.operations_page.alerts import alerts_content
from cli.operations_page.fakes import FakeTelemetry
from cli.operations_page.log_search import logs_query, search_logs
from cli.operations_page.panel import NotDeployedError
from cli.operations_page.panels import build_panels
from cli.operations_page.signals import signals_content
from cli.operations_page.timeline import Period
from cli.operations_page.views import Views
from cli.operations_page.waterfall import require_trace_id, trace_html, waterfall
from infra.components.observability.spans import Span
from infra.dashboards.graphs import DELIVERY, GOLDEN_SIGNALS, PROVIDER, Graph, Query
from infra.errors import EsqError, UsageError
from tests.sample_operations import HOSTILE, TRACE_ID, firing_alerts, sample_sources, spans, telemetry

NOW = dt.datetime(2026, 11, 30, 3, 0, 10, tzinfo=dt.UTC)
GRAPH = Graph("Traffic", "requests per second", (Query("sum(x)", "{{service}}"),))


def test_pages_come_before_tickets_and_suppressed_alerts() -> None:
    content = alerts_content(firing_alerts(NOW))
    order = re.findall(r"<strong>(\w+)</strong>", content.html)
    assert order == ["PostgresDown", "DiskPressure", "PostgresSlow"]
    assert content.problems == ("PostgresDown: Postgres has no primary",)
    assert '<a href="#/runbook/postgres-down">' in content.html
    assert "a consequence of another alert" in content.html
    assert "node node-a" in content.html


def test_no_alert_is_said_in_words() -> None:
    assert "No alert fires." in alerts_content([]).html


def test_silence_of_a_layer_that_cannot_page_is_a_problem(tmp_path: Path) -> None:
    panel = build_panels(sample_sources(tmp_path, telemetry=FakeTelemetry()))[0]
    content = panel.read()
    assert content.problems == ("nothing is scraped, so that no alert can fire",)
    assert "No alert fires." not in content.html


def test_alert_outside_of_the_catalog_is_shown_without_runbook() -> None:
    foreign = dataclasses.replace(firing_alerts(NOW)[0], labels={"alertname": "Foreign"}, annotations={})
    html = alerts_content([foreign]).html
    assert "Foreign" in html
    assert "not in the catalog" in html


def test_graphs_share_the_axis_and_the_marks_of_deploys() -> None:
    deploy = Period(NOW - dt.timedelta(minutes=30), NOW - dt.timedelta(minutes=28), "deploy of data")
    old = Period(NOW - dt.timedelta(hours=3), None, "old")
    content = signals_content(telemetry(NOW), GOLDEN_SIGNALS, [deploy, old], NOW)
    assert content.problems == ()
    assert content.html.count('<svg class="chart"') == len(GOLDEN_SIGNALS)
    assert "start of deploy of data" in content.html
    assert "02:30:10" in content.html
    assert "start of old" not in content.html
    assert "&lt;img" in content.html
    assert HOSTILE not in content.html


def test_graph_without_series_is_a_problem_and_not_an_empty_chart() -> None:
    content = signals_content(FakeTelemetry(), [GRAPH], [], NOW)
    assert content.problems == ("Traffic: no data",)
    assert '<svg class="chart"' not in content.html
    assert "no data" in content.html


def test_hour_without_errors_and_messages_is_no_problem() -> None:
    graphs = (*GOLDEN_SIGNALS, *DELIVERY, *PROVIDER)
    problems = signals_content(FakeTelemetry(), graphs, [], NOW).problems
    without_data = {problem.partition(":")[0] for problem in problems}
    assert without_data == {"Traffic", "Saturation", "Oldest due message", "Ready jobs", "Connections"}


def test_values_are_at_their_time_and_gaps_stay_gaps() -> None:
    end = NOW.replace(second=0)
    points = ((end.timestamp() - 3600, 1.0), (end.timestamp() - 600, float("nan")), (end.timestamp(), 7.0))
    source = FakeTelemetry(series={"sum(x)": [Series({"service": "api"}, points)]})
    html = signals_content(source, [GRAPH], [], NOW).html
    path, _ = re.findall(r'<path d="(M[^"]+)" class="l1"', html)  # the other one is in the legend
    assert [float(x) for x in re.findall(r"M([\d.]+) ", path)] == [70.0, 940.0]


def test_most_series_beyond_what_can_be_told_apart_are_counted() -> None:
    many = [Series({"service": str(number)}, ((NOW.timestamp(), float(number)),)) for number in range(9)]
    html = signals_content(FakeTelemetry(series={"sum(x)": many}), [GRAPH], [], NOW).html
    assert "3 smaller series are not shown" in html
    assert re.findall(r"</svg>\s*(\d)</li>", html) == ["3", "4", "5", "6", "7", "8"]


def test_waterfall_orders_spans_below_their_parents() -> None:
    rows = waterfall(spans(1000.0))
    assert [(row.span.name, row.depth) for row in rows] == [
        ("POST /campaigns", 0),
        ("create campaign", 1),
        ("INSERT campaigns", 2),
        ("send", 0),
    ]
    assert [(row.x, row.width) for row in rows] == [(0, 204), (20, 153), (51, 102), (184, 816)]
    assert [row.failed for row in rows] == [False, False, False, True]


def test_waterfall_of_a_cycle_ends() -> None:
    first, second, *_ = spans(0.0)
    cycle = [
        dataclasses.replace(first, parent_id=second.span_id),
        dataclasses.replace(second, parent_id=first.span_id),
        dataclasses.replace(first, span_id="a", parent_id="a", started_at=5.0),
    ]
    assert [row.span.span_id for row in waterfall(cycle)] == ["a", first.span_id, second.span_id]


def test_trace_in_html() -> None:
    html = trace_html(TRACE_ID, spans(0.0))
    assert "980 ms" in html
    assert "failed:" in html
    assert HOSTILE not in html
    assert f'<a href="#/logs/{TRACE_ID}">' in html


def test_unknown_trace_is_said_in_words() -> None:
    assert "no spans" in trace_html(TRACE_ID, [])


def test_long_trace_is_cut_and_says_so() -> None:
    span = spans(0.0)[0]
    many: list[Span] = [dataclasses.replace(span, span_id=f"{number:016x}") for number in range(700)]
    assert "the first 500 of 700 spans" in trace_html(TRACE_ID, many)


@pytest.mark.parametrize("text", ["", "x", TRACE_ID[:-1], f"{TRACE_ID}0", f'{TRACE_ID[:-2]}"}}'])
def test_other_text_is_no_trace_id(text: str) -> None:
    with pytest.raises(UsageError, match="no trace id"):
        require_trace_id(text)


def test_logs_of_a_trace() -> None:
    html = search_logs(telemetry(NOW), TRACE_ID, NOW)
    assert "campaign created" in html
    assert "unrelated" not in html
    assert HOSTILE not in html
    assert f'<a href="#/trace/{TRACE_ID}"' in html
    assert "No line" in search_logs(telemetry(NOW), "nothing like that", NOW)


def test_text_cannot_leave_its_place_in_the_query() -> None:
    assert logs_query('a" or _msg:"b') == '_msg:"a\\" or _msg:\\"b" !store:="spans"'
    assert logs_query(TRACE_ID) == f'(trace_id:="{TRACE_ID}" or _msg:"{TRACE_ID}") !store:="spans"'
    with pytest.raises(UsageError, match="no text"):
        logs_query("  ")


def test_logs_without_observability_layer_are_those_of_the_pods(tmp_path: Path) -> None:
    lines = [
        LogLine("api", "info", "old", at="10:00", trace_id=TRACE_ID),
        LogLine("api", "info", "unrelated", at="10:01"),
        LogLine("api", "error", HOSTILE, at="10:02", trace_id=TRACE_ID),
    ]
    sources = sample_sources(tmp_path, telemetry=NotDeployedError("no layer"), log_lines=lines)
    html = Views(sources).view_json("logs", TRACE_ID)["html"]
    assert "only lines of the present pods" in html
    assert "unrelated" not in html
    assert html.index("&lt;img") < html.index("old")
    assert "unrelated" in Views(sources).view_json("logs", "relat")["html"]
    with pytest.raises(UsageError, match="no text"):
        Views(sources).view_json("logs", " ")


def test_views_at_the_same_time_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "MAX_WAIT_SECONDS", 0.05)
    started, may_answer = threading.Semaphore(0), threading.Event()

    def slow_lines() -> Iterator[LogLine]:
        started.release()
        assert may_answer.wait(60)
        yield LogLine("api", "info", "line")

    sources = sample_sources(tmp_path, telemetry=NotDeployedError("no layer"))
    monkeypatch.setattr(sources, "log_lines", lambda _: slow_lines())
    page_views = Views(sources)
    threads = [
        threading.Thread(target=page_views.view_json, args=("logs", "x"))
        for _ in range(views.MAX_CONCURRENT_VIEWS)
    ]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert started.acquire(timeout=60)
    with pytest.raises(EsqError, match="other requests"):
        page_views.view_json("logs", "x")
    may_answer.set()
    for thread in threads:
        thread.join(60)
    assert "line" in page_views.view_json("logs", "line")["html"]
