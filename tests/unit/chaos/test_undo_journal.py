"""The undo journal: written before the injection, removed by the undo, whichever process runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from chaos import watchdog
from chaos.faults import Fault
from chaos.journal import ProcessIdentity, UndoFailedError, UndoJournal
from infra.subprocesses import CommandFailedError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def journal(tmp_path: Path) -> UndoJournal:
    return UndoJournal(tmp_path / "open")


def touch_fault(folder: Path, *other_commands: tuple[str, ...]) -> Fault:
    """A fault that creates a file; its undo deletes the file."""
    file = str(folder / "injected")
    return Fault(
        kind="file", target=file, inject=(("touch", file), *other_commands), undo=(("rm", "-f", file),)
    )


def test_undo_commands_are_on_disk_before_the_injection(journal: UndoJournal, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    read = ("sh", "-c", f"cat {journal.folder}/*.json > {copy}")
    fault = Fault(kind="read", target="journal", inject=(read,), undo=(("true",),))
    journal.inject(fault, experiment="test", max_seconds=60)
    assert json.loads(copy.read_text())["fault"]["undo"] == [["true"]]


def test_journal_file_is_readable_only_by_its_owner(journal: UndoJournal, tmp_path: Path) -> None:
    journal.inject(touch_fault(tmp_path), experiment="test", max_seconds=60)
    (file,) = journal.folder.glob("*.json")
    assert file.stat().st_mode & 0o777 == 0o600


def test_repeated_undo_is_harmless(journal: UndoJournal, tmp_path: Path) -> None:
    open_fault = journal.inject(touch_fault(tmp_path), experiment="test", max_seconds=60)
    assert (tmp_path / "injected").exists()
    journal.undo(open_fault)
    journal.undo(open_fault)
    assert not (tmp_path / "injected").exists()
    assert journal.open_faults() == []


def test_failed_injection_is_undone(journal: UndoJournal, tmp_path: Path) -> None:
    with pytest.raises(CommandFailedError):
        journal.inject(touch_fault(tmp_path, ("false",)), experiment="test", max_seconds=60)
    assert not (tmp_path / "injected").exists()
    assert journal.open_faults() == []


def test_failed_undo_stays_open_and_reports_its_commands(journal: UndoJournal, tmp_path: Path) -> None:
    undo = ("sh", "-c", f"test -e {tmp_path}/ok")
    fault = Fault(kind="bad", target="x", inject=(("true",),), undo=(undo,))
    journal.inject(fault, experiment="test", max_seconds=60)
    journal.inject(touch_fault(tmp_path), experiment="test", max_seconds=60)
    with pytest.raises(UndoFailedError, match="bad of x is not undone") as error:
        journal.rollback()
    assert f"sh -c 'test -e {tmp_path}/ok'" in error.value.detail
    assert not (tmp_path / "injected").exists()  # the other fault was undone nevertheless
    (tmp_path / "ok").touch()
    assert [str(open_fault.fault) for open_fault in journal.rollback()] == ["bad of x"]


def test_newest_fault_is_undone_first(journal: UndoJournal, tmp_path: Path) -> None:
    for name in ("first", "second"):
        undo = ("sh", "-c", f"echo {name} >> {tmp_path}/order")
        fault = Fault(kind=name, target="x", inject=(), undo=(undo,))
        journal.inject(fault, experiment="test", max_seconds=60)
        time.sleep(0.002)  # ids are ordered by millisecond
    journal.rollback()
    assert (tmp_path / "order").read_text().split() == ["second", "first"]


def test_fault_is_overdue_after_its_deadline_or_without_owner(journal: UndoJournal, tmp_path: Path) -> None:
    open_fault = journal.inject(touch_fault(tmp_path), experiment="test", max_seconds=60)
    assert not open_fault.overdue(time.time())
    assert open_fault.overdue(time.time() + 61)
    gone = ProcessIdentity(pid=os.getpid(), started_at=1.0)
    assert open_fault.model_copy(update={"owner": gone}).overdue(time.time())


INJECT_AND_SLEEP = """
import sys, time
from pathlib import Path
from chaos import watchdog
from chaos.faults import Fault
from chaos.journal import UndoJournal
folder = Path(sys.argv[1])
journal = UndoJournal(folder / "open")
if sys.argv[2] == "watchdog":
    watchdog.start(journal)
file = str(folder / "injected")
journal.inject(
    Fault(kind="file", target=file, inject=(("touch", file),), undo=(("rm", "-f", file),)),
    experiment="test", max_seconds=600)
print("injected", flush=True)
time.sleep(600)
"""


def inject_and_kill(folder: Path, mode: str) -> None:
    """Inject a fault in another process, then kill that process."""
    process = subprocess.Popen(
        [sys.executable, "-c", INJECT_AND_SLEEP, str(folder), mode], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "injected\n"
    process.kill()
    process.communicate()


def test_watchdog_undoes_the_faults_of_a_killed_process(journal: UndoJournal, tmp_path: Path) -> None:
    inject_and_kill(tmp_path, "watchdog")
    log = journal.folder / "watchdog.log"
    deadline = time.monotonic() + 20
    while journal.open_faults() or "undid file" not in log.read_text():  # logged after the undo
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not (tmp_path / "injected").exists()


def test_rollback_undoes_the_faults_of_a_killed_process(journal: UndoJournal, tmp_path: Path) -> None:
    inject_and_kill(tmp_path, "none")
    assert (tmp_path / "injected").exists()
    assert len(journal.rollback()) == 1
    assert not (tmp_path / "injected").exists()


def test_watchdog_leaves_faults_in_time_to_their_owner(journal: UndoJournal, tmp_path: Path) -> None:
    journal.inject(touch_fault(tmp_path), experiment="test", max_seconds=60)
    process = subprocess.Popen(["sleep", "0.7"])
    owner = ProcessIdentity(pid=process.pid, started_at=0.0)
    watchdog.watch(UndoJournal(tmp_path / "none"), owner)
    process.wait()
    assert (tmp_path / "injected").exists()
    journal.rollback()
