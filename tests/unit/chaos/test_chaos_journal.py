"""The undo journal: on disk before it hurts, gone when it is undone, whoever undoes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from chaos import deadman
from chaos.faults import Fault
from chaos.journal import Owner, UndoFailedError, UndoJournal
from infra.subprocesses import CommandFailedError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def journal(tmp_path: Path) -> UndoJournal:
    return UndoJournal(tmp_path / "open")


def touching(folder: Path, *more: tuple[str, ...]) -> Fault:
    """A fault that makes a file, and is undone by taking it away."""
    file = str(folder / "hurt")
    return Fault(kind="file", target=file, inject=(("touch", file), *more), undo=(("rm", "-f", file),))


def test_the_undoing_is_on_disk_before_anything_is_hurt(journal: UndoJournal, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    look = ("sh", "-c", f"cat {journal.folder}/*.json > {seen}")
    fault = Fault(kind="look", target="journal", inject=(look,), undo=(("true",),))
    journal.inject(fault, experiment="test", seconds=60)
    assert json.loads(seen.read_text())["fault"]["undo"] == [["true"]]


def test_only_its_owner_reads_it(journal: UndoJournal, tmp_path: Path) -> None:
    journal.inject(touching(tmp_path), experiment="test", seconds=60)
    (file,) = journal.folder.glob("*.json")
    assert file.stat().st_mode & 0o777 == 0o600


def test_undoing_twice_is_harmless(journal: UndoJournal, tmp_path: Path) -> None:
    entry = journal.inject(touching(tmp_path), experiment="test", seconds=60)
    assert (tmp_path / "hurt").exists()
    journal.undo(entry)
    journal.undo(entry)
    assert not (tmp_path / "hurt").exists()
    assert journal.entries() == []


def test_what_fails_half_way_is_undone(journal: UndoJournal, tmp_path: Path) -> None:
    with pytest.raises(CommandFailedError):
        journal.inject(touching(tmp_path, ("false",)), experiment="test", seconds=60)
    assert not (tmp_path / "hurt").exists()
    assert journal.entries() == []


def test_an_undoing_that_fails_stays_and_tells_its_commands(journal: UndoJournal, tmp_path: Path) -> None:
    fault = Fault(kind="bad", target="x", inject=(("true",),), undo=(("sh", "-c", f"test -e {tmp_path}/ok"),))
    journal.inject(fault, experiment="test", seconds=60)
    journal.inject(touching(tmp_path), experiment="test", seconds=60)
    with pytest.raises(UndoFailedError, match="bad of x is not undone") as error:
        journal.recover()
    assert f"sh -c 'test -e {tmp_path}/ok'" in error.value.detail
    assert not (tmp_path / "hurt").exists()  # the other one was undone all the same
    (tmp_path / "ok").touch()
    assert [str(entry.fault) for entry in journal.recover()] == ["bad of x"]


def test_the_newest_is_undone_first(journal: UndoJournal, tmp_path: Path) -> None:
    for name in ("first", "second"):
        undo = ("sh", "-c", f"echo {name} >> {tmp_path}/order")
        journal.inject(Fault(kind=name, target="x", inject=(), undo=(undo,)), experiment="test", seconds=60)
        time.sleep(0.002)  # entries are ordered by the millisecond
    journal.recover()
    assert (tmp_path / "order").read_text().split() == ["second", "first"]


def test_a_fault_is_overdue_when_its_time_is_over_or_its_owner_is_gone(
    journal: UndoJournal, tmp_path: Path
) -> None:
    entry = journal.inject(touching(tmp_path), experiment="test", seconds=60)
    assert not entry.overdue(time.time())
    assert entry.overdue(time.time() + 61)
    stranger = entry.model_copy(update={"owner": Owner(pid=os.getpid(), started=1.0)})
    assert stranger.overdue(time.time())


KILLED = """
import sys, time
from pathlib import Path
from chaos import deadman
from chaos.faults import Fault
from chaos.journal import UndoJournal
folder = Path(sys.argv[1])
journal = UndoJournal(folder / "open")
if sys.argv[2] == "timer":
    deadman.start(journal)
file = str(folder / "hurt")
journal.inject(
    Fault(kind="file", target=file, inject=(("touch", file),), undo=(("rm", "-f", file),)),
    experiment="test", seconds=600)
print("hurt", flush=True)
time.sleep(600)
"""


def killed(folder: Path, how: str) -> None:
    """Hurt in a process of its own, and kill that in the middle."""
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder), how], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "hurt\n"
    process.kill()
    process.communicate()


def test_after_a_sigkill_the_timer_undoes_unasked(journal: UndoJournal, tmp_path: Path) -> None:
    killed(tmp_path, "timer")
    said = journal.folder / "deadman.log"
    deadline = time.monotonic() + 20
    while journal.entries() or "undid file" not in said.read_text():  # it says so after it has done it
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not (tmp_path / "hurt").exists()


def test_after_a_sigkill_recover_undoes(journal: UndoJournal, tmp_path: Path) -> None:
    killed(tmp_path, "no timer")
    assert (tmp_path / "hurt").exists()
    assert len(journal.recover()) == 1
    assert not (tmp_path / "hurt").exists()


def test_the_timer_leaves_what_is_in_time_to_its_owner(journal: UndoJournal, tmp_path: Path) -> None:
    journal.inject(touching(tmp_path), experiment="test", seconds=60)
    owner = subprocess.Popen(["sleep", "0.7"])
    me = Owner(pid=owner.pid, started=0.0)
    deadman.watch(UndoJournal(tmp_path / "none"), me)
    owner.wait()
    assert (tmp_path / "hurt").exists()
    journal.recover()
