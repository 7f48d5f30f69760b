"""What the panels show: states, problems, and text that is never markup."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path
from typing import Any

from cli.operations_page import service_map, timeline, work
from cli.operations_page.panel import Content, NotDeployedError, PanelState
from cli.operations_page.panels import build_panels
from cli.operations_page.rendering import snapshot_json
from cli.operations_page.snapshot import Snapshot
from cli.operations_page.timeline import Lane, Period
from infra.errors import EsqError
from tests.sample_operations import HOSTILE, health, healthy, queue, quiet_journal, sample_sources

PANELS = (
    *(
        "alerts",
        "map",
        "signals",
        "budgets",
        "timeline",
        "queues",
        "delivery",
        "campaigns",
        "replication",
        "data",
    ),
    *("provider", "faults", "slos"),
)
NOW = dt.datetime(2026, 11, 30, 3, tzinfo=dt.UTC)


def complete_snapshot(folder: Path, **replaced: Any) -> dict[str, Any]:
    """Return the snapshot after the first reading of all panels."""
    sources = sample_sources(folder, **replaced)
    snapshot = Snapshot(build_panels(sources))
    deadline = time.monotonic() + 60
    while any(view.state is PanelState.READING for view in snapshot.views()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return snapshot_json("local", snapshot.views())


def test_map_shows_each_part_by_zone() -> None:
    content = service_map.map_content(health())
    assert "node node-zone-b is not ready" in content.problems
    assert "edge /webhooks: status 503" in content.problems
    text = " ".join(content.html.split())
    assert "quorum standby" in text
    assert "no answer" in text
    assert "<strong>campaigns-api</strong>" in text
    assert service_map.map_content(healthy()).problems == ()


def test_banner_lists_problems_with_links_to_their_panels(tmp_path: Path) -> None:
    snapshot = complete_snapshot(tmp_path)
    assert snapshot["is_complete"]
    assert snapshot["title"].startswith("✗")
    assert '<a href="#panel-map">Service map</a>: node node-zone-b is not ready' in snapshot["banner"]
    assert '<a href="#panel-alerts">Alerts</a>: PostgresDown: Postgres has no primary' in snapshot["banner"]


def test_quiet_environment_has_no_problems(tmp_path: Path) -> None:
    snapshot = complete_snapshot(
        tmp_path,
        health=healthy(),
        queues=[queue()],
        campaigns={"acme": []},
        journal=quiet_journal(),
        slos=[],
        telemetry=NotDeployedError("no layer"),
    )
    assert snapshot["title"].startswith("✓")
    assert "no problems; not shown: Alerts, Golden signals" in snapshot["banner"]


def test_unreadable_source_is_a_problem_and_never_an_empty_panel(tmp_path: Path) -> None:
    snapshot = complete_snapshot(
        tmp_path, health=EsqError("the cluster is unreachable"), journal=quiet_journal(), slos=[]
    )
    panels = {panel["id"]: panel["html"] for panel in snapshot["panels"]}
    for panel in ("map", "replication"):
        assert "cannot be read" in panels[panel]
        assert "the cluster is unreachable" in panels[panel]
    assert "cannot be read: the cluster is unreachable" in snapshot["banner"]


def test_text_of_an_environment_is_never_markup(tmp_path: Path) -> None:
    snapshot = complete_snapshot(tmp_path, health=EsqError(HOSTILE))
    assert HOSTILE not in str(snapshot)
    assert "&lt;img src=x" in snapshot["banner"]


def test_queues_near_their_deadline_and_paused_ones_are_problems() -> None:
    content = work.queues_content([queue(), queue("q", near_deadline=7, state="paused")])
    assert content.problems == ("q: 7 jobs are close to their deadline", "q is paused")
    assert "12 / 3 / 0" in content.html


def test_campaign_progress_counts_messages_with_a_known_result(tmp_path: Path) -> None:
    content = work.campaigns_content(sample_sources(tmp_path).campaigns())
    assert "39000 of 100000" in content.html
    assert content.problems == (f"{HOSTILE} of acme: the list is empty",)


def test_slos_that_need_attention_come_first(tmp_path: Path) -> None:
    content = work.slos_content(sample_sources(tmp_path).slos(), "local")
    assert content.html.index("violated") < content.html.index("unmeasured")
    assert any("is violated" in problem for problem in content.problems)
    assert any("cannot be read" in problem for problem in content.problems)


def lane_of(*periods: Period | EsqError) -> Lane:
    """Return a lane with these periods; an error is raised."""

    def read() -> list[Period]:
        for period in periods:
            if isinstance(period, EsqError):
                raise period
        return [period for period in periods if isinstance(period, Period)]

    return Lane("deploys", "deploy", read)


def test_time_axis_shows_periods_of_its_last_hours() -> None:
    started = NOW - dt.timedelta(hours=3)
    content = timeline.timeline_content([lane_of(Period(started, None, "deploy of data"))], NOW)
    assert 'x="520.0"' in content.html  # the middle of the axis
    assert 'width="420.0"' in content.html
    assert "00:00:00 to now: deploy of data" in content.html
    old = Period(NOW - dt.timedelta(hours=9), NOW - dt.timedelta(hours=8), "old")
    assert "old" not in timeline.timeline_content([lane_of(old)], NOW).html


def test_lane_that_cannot_be_read_hides_no_other() -> None:
    readable = lane_of(Period(NOW, NOW, "deploy of data"))
    content: Content = timeline.timeline_content([lane_of(EsqError("no engine")), readable], NOW)
    assert content.problems == ("deploys cannot be read: no engine",)
    assert "cannot be read: no engine" in content.html
    assert "deploy of data" in content.html


def test_left_fault_is_a_problem_with_the_command_that_undoes_it(tmp_path: Path) -> None:
    content = timeline.faults_content(sample_sources(tmp_path).journal(), "local")
    assert content.problems == ("faults left by an experiment: 2; undo them: esq chaos rollback local",)
    assert "zone-isolation of zone-b" in content.html
    assert "no fault is open" in timeline.faults_content(quiet_journal(), "local").html


def test_page_has_every_panel(tmp_path: Path) -> None:
    panels = {panel["id"]: panel["html"] for panel in complete_snapshot(tmp_path)["panels"]}
    assert tuple(panels) == PANELS
    for name, html in panels.items():
        assert f'id="heading-{name}"' in html
        assert "style=" not in html  # the Content-Security-Policy refuses it


def test_panels_without_observability_layer_say_so(tmp_path: Path) -> None:
    snapshot = complete_snapshot(tmp_path, telemetry=NotDeployedError("no layer", remedy="Deploy it."))
    panels = {panel["id"]: panel["html"] for panel in snapshot["panels"]}
    for name in ("alerts", "signals", "budgets", "delivery", "data", "provider"):
        assert "not deployed" in panels[name]
        assert "no layer. Deploy it" in panels[name]
    assert "no layer" not in snapshot["banner"]  # a choice of the environment, not a problem
