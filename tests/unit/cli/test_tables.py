"""Tables at 80 columns: no value is broken; in a pipe every value is whole."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from chaos import experiment
from cli import output
from cli.actions.queue import QueueRow
from cli.commands import backup, campaign, chaos, env, load, queue, status
from infra.components.component_health import Replica, component_health
from loadtests.scenarios import SCENARIOS

if TYPE_CHECKING:
    from rich.table import Table

VALUES = ("1200 / 3 / 40", "whatsapp.dispatch", "paused, at most 100/s")
QUEUE = QueueRow("whatsapp.dispatch", (1200, 3, 40), 120, 64, 3, 12.3, 125.0, 456.0, "paused, at most 100/s")


def render(table: Table, width: int) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(output.fit(table, width))
    text = capture.get()
    assert all(len(line.rstrip()) <= width for line in text.splitlines())
    return text


@pytest.mark.parametrize("width", [80, 200])
def test_values_of_a_queue_are_whole(width: int) -> None:
    shown = render(queue._table([QUEUE]), width)
    assert all(value in shown for value in (*VALUES, "estimated wait"))


def test_backups_fit_80_columns(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    label = "20261130-160000F_20261130-161000D"
    entry = {
        "label": label,
        "finished_at": "2026-11-30T16:10:05Z",
        "repository": 2,
        "database_bytes": 999 << 30,
    }
    result: dict[str, Any] = {"backups": [entry], "restorable_from": None, "summary": "", "problems": []}
    monkeypatch.setattr(backup, "_environment", lambda _: None)
    monkeypatch.setattr("cli.actions.backup.list_backups", lambda *_: result)
    monkeypatch.setattr(output, "console", lambda: Console(width=80))
    backup.list_("local")
    shown = capsys.readouterr().out
    assert f"{label}  2026-11-30T16:10:05Z  2           999.0 GiB" in shown


def test_state_of_a_replica_is_shown_with_its_brackets() -> None:
    state = "containers with unready status: [kafka]"
    replica = Replica(name="kafka-0", zone="zone-a", role="broker", state=state, healthy=False)
    health: Any = SimpleNamespace(data=[component_health("kafka", [replica], "")])
    assert state in render(status._data_table(health), 200)


def test_backend_of_an_environment_and_name_of_a_campaign_are_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "console", lambda: Console(width=80, highlight=False))
    backend = f"s3://{'b' * 50}"
    cluster = SimpleNamespace(context="context-of-the-production-cluster")
    environment: Any = SimpleNamespace(definition=SimpleNamespace(existing_cluster=cluster), backend=backend)
    listed: Any = SimpleNamespace(name="production", environment=environment)
    env._print_table([listed])
    name = "A campaign with a name of more than forty characters"
    monkeypatch.setattr(campaign, "_details", lambda _: ["12 of 120,000 sent"])
    campaign._print_table([{"id": "c" * 26, "name": name, "state": "running"}])
    shown = capsys.readouterr().out
    assert all(value in shown for value in (backend, cluster.context, name))


@pytest.mark.parametrize("width", [80, 200])
def test_prose_in_the_last_column_is_wrapped_between_words(width: int) -> None:
    table = output.table("experiment", "runs on", "title")
    title = "Node of the Postgres primary crashes and restarts during a campaign"
    table.add_row("postgres-primary-container-killed", "embedded, kubernetes", title)
    console = Console(width=width)
    with console.capture() as capture:
        console.print(output.fit(table, width, wraps_last=True))
    lines = capture.get().splitlines()
    assert all(len(line.rstrip()) <= width for line in lines)
    assert lines[1].split() == ["experiment", "runs", "on", "title"]
    assert "postgres-primary-container-killed  embedded, kubernetes  Node of the" in capture.get()
    wrapped = [word for line in lines[3:] for word in line[58:].split()]
    assert wrapped == title.split()
    assert (title in capture.get()) is (width == 200)


def test_prose_beside_values_that_do_not_fit_is_printed_below_them() -> None:
    table = output.table("name", "path", "title")
    table.add_row("one", "/" + 70 * "x", "Some words")
    shown = output.fit(table, 80, wraps_last=True)
    assert [column.header for column in shown.columns] == ["", ""]


@pytest.mark.parametrize("width", [80, 200])
def test_experiments_and_scenarios_are_readable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    monkeypatch.setattr(output, "console", lambda: Console(width=width))
    chaos.list_experiments()
    load.list_scenarios()
    listed = capsys.readouterr().out
    names = [*experiment.names(), *(scenario.name for scenario in SCENARIOS)]
    assert all(f" {name} " in listed for name in names)
    for name in experiment.names():
        chaos.show(name)
    for scenario in SCENARIOS:
        load.show(scenario.name)
    shown = capsys.readouterr().out
    slos = [slo for name in experiment.names() for slo in experiment.load(name).extension.slos]
    slos += [slo for scenario in SCENARIOS for slo in scenario.slo_metrics]
    assert all(f"SLO {slo} by " in " ".join(shown.split()) for slo in slos)
    assert all(len(line.rstrip()) <= width for line in (listed + shown).splitlines())
