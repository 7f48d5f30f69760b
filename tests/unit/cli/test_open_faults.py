"""`esq chaos status | rollback`: what is open, what cannot be read, and that all else is undone."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chaos import run_lock
from chaos.faults import Fault
from chaos.journal import UndoJournal
from chaos.journal_entry import OpenFault
from cli.actions import deployment_target, health, observability_status, open_faults
from cli.environment import load_environment
from cli.main import run
from infra import kubernetes, scrub_record
from infra.process_identity import ProcessIdentity

GONE = ProcessIdentity(pid=1 << 22, start_ticks=1, boot_id="")


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> UndoJournal:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return open_faults.open_journal(load_environment("local"))


def inject(journal: UndoJournal, name: str, undo: str = "true") -> OpenFault:
    fault = Fault(kind="node-death", target=name, inject=(), undo=(("sh", "-c", undo),))
    return journal.inject(fault, experiment="zone-lost", max_seconds=600, run_id="r1")


def leave(journal: UndoJournal, entry: OpenFault) -> None:
    """Let the entry belong to a process that has ended."""
    file = journal.folder / f"{entry.id}.json"
    file.write_text(entry.model_copy(update={"owner": GONE}).model_dump_json())


def result(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_nothing_is_open(journal: UndoJournal, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["chaos", "status", "local", "--json"]) == 0
    expected = {"run": None, "watchdog": False, "needs_rollback": False, "faults": [], "unreadable": []}
    assert result(capsys) == {"environment": "local", **expected}
    assert run(["chaos", "rollback", "local", "--json"]) == 0
    assert result(capsys) == {"environment": "local", "undone": [], **expected}
    assert not journal.folder.exists()


def test_fault_of_a_run_in_progress_needs_no_rollback(
    journal: UndoJournal, capsys: pytest.CaptureFixture[str]
) -> None:
    with run_lock.exclusive_run(journal, "zone-lost") as active_run:
        inject(journal, "zone-b")
        assert run(["chaos", "status", "local", "--json"]) == 0
        document = result(capsys)
        assert document["run"]["run_id"] == active_run.run_id
        (fault,) = document["faults"]
        assert (fault["state"], fault["owner_alive"], fault["left"]) == ("open", True, False)
        assert 0 <= fault["age_seconds"] < fault["expires_in_seconds"] <= 600
        assert fault["undo"] == ["sh -c true"]
        assert run(["chaos", "rollback", "local"]) == 0
        assert f"kill -INT {active_run.owner.pid}" in capsys.readouterr().out


def test_left_fault_is_shown_with_its_commands_and_the_next_step(
    journal: UndoJournal, capsys: pytest.CaptureFixture[str]
) -> None:
    leave(journal, inject(journal, "zone-b"))
    assert run(["chaos", "status", "local"]) == 1
    text = capsys.readouterr().out
    for part in ("node-death of zone-b", "zone-lost (process 4194304, ended)", "    sh -c true"):
        assert part in text
    assert text.endswith("To undo all faults: esq chaos rollback local\n")
    assert max(map(len, text.splitlines())) <= 80
    assert run(["chaos", "rollback", "local"]) == 0
    assert run(["chaos", "status", "local"]) == 0


def test_rollback_repeats_a_failed_undo(
    journal: UndoJournal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leave(journal, inject(journal, "zone-b", f"test -e {tmp_path}/tried || ! touch {tmp_path}/tried"))
    assert run(["chaos", "rollback", "local", "--json"]) == 0
    assert result(capsys)["undone"] == ["node-death of zone-b"]


def test_rollback_that_keeps_failing_reports_the_reason_and_the_commands(
    journal: UndoJournal, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    inject(journal, "zone-a")
    leave(journal, inject(journal, "zone-b", "echo no disk; false"))
    assert run(["chaos", "rollback", "local", "--json"]) == 1
    document = result(capsys)
    assert document["undone"] == ["node-death of zone-a"]
    (fault,) = document["faults"]
    assert fault["undo_failures"] == open_faults.ROLLBACK_ATTEMPTS
    assert "no disk" in fault["undo_error"]
    assert run(["chaos", "rollback", "local"]) == 1
    errors = capsys.readouterr().err
    assert "node-death of zone-b is not undone" in errors
    assert "sh -c 'echo no disk; false'" in errors


def test_one_unreadable_entry_is_named_and_all_others_are_undone(
    journal: UndoJournal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = inject(journal, "zone-a")
    (journal.folder / f"{bad.id}.json").write_text("{")
    leave(journal, inject(journal, "zone-b", f"touch {tmp_path}/undone"))
    assert run(["chaos", "status", "local", "--json"]) == 1
    assert [fault["fault"] for fault in result(capsys)["faults"]] == ["node-death of zone-b"]
    assert run(["chaos", "rollback", "local", "--json"]) == 1
    document = result(capsys)
    assert document["undone"] == ["node-death of zone-b"]
    assert document["unreadable"][0]["location"].endswith(f"{bad.id}.json")
    assert (tmp_path / "undone").exists()
    assert run(["chaos", "rollback", "local"]) == 1
    errors = capsys.readouterr().err
    assert "the journal entry cannot be read" in errors
    assert "then delete it" in errors


def test_status_of_the_environment_reports_a_left_fault(
    journal: UndoJournal, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy = health.Health((), (), health.BackupHealth("healthy"), (), ())
    target = SimpleNamespace(kubeconfig=Path("unused"))
    monkeypatch.setattr(deployment_target, "open_deployed_target", lambda *_: target)
    monkeypatch.setattr(health, "collect_health", lambda _: healthy)
    monkeypatch.setattr(kubernetes, "api_client", lambda _: SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(scrub_record, "read_scrub", lambda _: None)
    monkeypatch.setattr(observability_status, "collect", lambda _: None)
    entry = inject(journal, "zone-b")
    assert run(["status", "local", "--json"]) == 0
    assert result(capsys)["healthy"] is True
    leave(journal, entry)
    assert run(["status", "local", "--json"]) == 1
    document = result(capsys)
    assert document["healthy"] is False
    assert document["problems"] == ["faults left by an experiment: 1; see `esq chaos status local`"]
    assert document["chaos"]["needs_rollback"] is True
    assert run(["status", "local"]) == 1
    text = capsys.readouterr().out
    assert "✗ faults left by an experiment: 1" in text
    assert "✓ healthy\n" not in text.replace("backups ✓ healthy", "")
