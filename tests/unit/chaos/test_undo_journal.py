"""The undo journal: written before the injection, removed by the undo; one bad entry stops nothing else."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chaos import journal_entry, run_lock, safety, watchdog_process
from chaos.faults import Fault
from chaos.journal import InjectionStoppedError, UndoFailedError, UndoJournal
from chaos.journal_entry import FaultState, OpenFault, seconds_since_boot
from infra.errors import EsqError
from infra.process_identity import ProcessIdentity
from infra.subprocesses import CommandFailedError
from tests.servers.process import wait_until


@pytest.fixture
def journal(tmp_path: Path) -> UndoJournal:
    return UndoJournal(tmp_path / "open", "local")


def touch_fault(folder: Path, *other_commands: tuple[str, ...], name: str = "injected") -> Fault:
    """A fault that creates a file; its undo deletes the file."""
    file = str(folder / name)
    return Fault(
        kind="file", target=file, inject=(("touch", file), *other_commands), undo=(("rm", "-f", file),)
    )


def inject(journal: UndoJournal, fault: Fault, max_seconds: float = 60) -> OpenFault:
    return journal.inject(fault, experiment="test", max_seconds=max_seconds)


def test_entry_is_on_disk_before_the_injection_and_open_after_it(
    journal: UndoJournal, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    read = ("sh", "-c", f"cat {journal.folder}/*.json > {copy}")
    opened = inject(journal, Fault(kind="read", target="journal", inject=(read,), undo=(("true",),)))
    during = json.loads(copy.read_text())
    assert (during["state"], during["fault"]["undo"]) == ("injecting", [["true"]])
    assert opened.state is FaultState.OPEN
    assert journal.open_faults() == [opened]


def test_journal_file_is_readable_only_by_its_owner(journal: UndoJournal, tmp_path: Path) -> None:
    inject(journal, touch_fault(tmp_path))
    (file,) = journal.folder.glob("*.json")
    assert file.stat().st_mode & 0o777 == 0o600


def test_repeated_undo_is_harmless_and_leaves_no_file(journal: UndoJournal, tmp_path: Path) -> None:
    open_fault = inject(journal, touch_fault(tmp_path))
    assert (tmp_path / "injected").exists()
    journal.undo(open_fault)
    journal.undo(open_fault)
    assert not (tmp_path / "injected").exists()
    assert list(journal.folder.iterdir()) == []


def test_fault_without_undo_leaves_no_entry(journal: UndoJournal, tmp_path: Path) -> None:
    inject(journal, Fault(kind="kill", target="x", inject=(("touch", str(tmp_path / "killed")),)))
    assert (tmp_path / "killed").exists()
    assert list(journal.folder.iterdir()) == []


def test_failed_injection_is_undone(journal: UndoJournal, tmp_path: Path) -> None:
    with pytest.raises(CommandFailedError, match="`false` exited with code 1"):
        inject(journal, touch_fault(tmp_path, ("false",)))
    assert not (tmp_path / "injected").exists()
    assert journal.open_faults() == []


def test_missing_program_is_a_failed_injection(journal: UndoJournal, tmp_path: Path) -> None:
    with pytest.raises(CommandFailedError, match="no-such-program"):
        inject(journal, touch_fault(tmp_path, ("no-such-program",)))
    assert not (tmp_path / "injected").exists()


def test_nothing_is_injected_when_the_journal_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "open").touch()
    with pytest.raises(EsqError, match="the undo journal cannot be written"):
        inject(UndoJournal(tmp_path / "open"), touch_fault(tmp_path))
    assert not (tmp_path / "injected").exists()


def test_rollback_during_an_injection_stops_it(journal: UndoJournal, tmp_path: Path) -> None:
    started, harm = tmp_path / "started", tmp_path / "harm"
    fault = touch_fault(
        tmp_path, ("sh", "-c", f"touch {started}; sleep 60; touch {harm}"), ("touch", str(harm))
    )
    errors: list[BaseException] = []

    def run() -> None:
        try:
            inject(journal, fault)
        except EsqError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until("the injection", started.exists, 20)
    assert [entry.state for entry in journal.open_faults()] == [FaultState.INJECTING]
    journal.rollback()
    thread.join(20)
    assert not thread.is_alive()
    assert [type(error) for error in errors] == [CommandFailedError]
    assert not harm.exists()
    assert not (tmp_path / "injected").exists()
    assert journal.open_faults() == []


def test_no_command_starts_after_its_entry_is_gone(journal: UndoJournal, tmp_path: Path) -> None:
    delete = ("sh", "-c", f"rm {journal.folder}/*.json")
    with pytest.raises(InjectionStoppedError, match="was undone while it was injected"):
        inject(journal, Fault(kind="x", target="y", inject=(delete, ("touch", str(tmp_path / "harm")))))
    assert not (tmp_path / "harm").exists()


def test_failed_undo_stays_open_and_reports_its_commands(journal: UndoJournal, tmp_path: Path) -> None:
    undo = ("sh", "-c", f"test -e {tmp_path}/ok")
    inject(journal, Fault(kind="bad", target="x", inject=(("true",),), undo=(undo,)))
    inject(journal, touch_fault(tmp_path))
    with pytest.raises(UndoFailedError, match="bad of x is not undone") as error:
        journal.rollback()
    assert f"sh -c 'test -e {tmp_path}/ok'" in error.value.detail
    assert not (tmp_path / "injected").exists()  # the other fault was undone nevertheless
    assert [open_fault.fault.kind for open_fault in error.value.undone] == ["file"]
    (tmp_path / "ok").touch()
    assert [str(open_fault.fault) for open_fault in journal.rollback()] == ["bad of x"]


def test_failed_undo_is_due_for_the_watchdog_after_a_growing_bounded_time(
    journal: UndoJournal,
) -> None:
    open_fault = inject(journal, Fault(kind="bad", target="x", inject=(), undo=(("false",),)))
    with pytest.raises(UndoFailedError):
        journal.undo(open_fault)
    (entry,) = journal.open_faults()
    now = seconds_since_boot()
    assert entry.overdue(now)
    assert entry.undo_failures == 1
    assert "`false` exited with code 1" in entry.undo_error
    assert not entry.retry_due(entry.retry_at - 0.01)
    assert entry.retry_due(entry.retry_at)
    delays = []
    for _ in range(10):
        entry = entry.after_failure("again", now)
        delays.append(entry.retry_at - now)
    assert delays[0] < delays[2] < delays[5]
    assert 0.5 * journal_entry.MAX_RETRY_SECONDS <= delays[-1] <= 1.5 * journal_entry.MAX_RETRY_SECONDS


def test_newest_fault_is_undone_first(journal: UndoJournal, tmp_path: Path) -> None:
    for name in ("first", "second"):
        undo = ("sh", "-c", f"echo {name} >> {tmp_path}/order")
        inject(journal, Fault(kind=name, target="x", inject=(), undo=(undo,)))
    journal.rollback()
    assert (tmp_path / "order").read_text().split() == ["second", "first"]


def test_fault_is_overdue_after_its_deadline_or_without_owner(journal: UndoJournal, tmp_path: Path) -> None:
    open_fault = inject(journal, touch_fault(tmp_path))
    now = seconds_since_boot()
    assert not open_fault.overdue(now)
    assert open_fault.overdue(now + 61)
    owner = open_fault.owner
    for other in ({"start_ticks": owner.start_ticks - 1}, {"boot_id": "before"}, {"pid": 1 << 22}):
        gone = open_fault.model_copy(update={"owner": owner.model_copy(update=other)})
        assert gone.overdue(now), other


def test_owner_is_identified_by_its_start_whatever_the_clock_says(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = ProcessIdentity.current()
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert ProcessIdentity.current() == owner
    assert owner.is_alive
    assert owner.pid == os.getpid()


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:40])


def replace_by_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def replace_by_broken_link(file: Path) -> None:
    """A link to itself: reading it fails for root too, unlike a file without permissions."""
    file.unlink()
    file.symlink_to(file)


def replace_by_link_to_nothing(file: Path) -> None:
    file.unlink()
    file.symlink_to(file.with_name("nothing"))


def replace_by_pipe(file: Path) -> None:
    """A pipe that nobody writes to: reading it would not end."""
    file.unlink()
    os.mkfifo(file)


DAMAGES = {
    "truncated": truncate,
    "empty": lambda file: file.write_bytes(b""),
    "another schema": lambda file: file.write_text('{"version": 7}'),
    "no UTF-8": lambda file: file.write_bytes(b'{"id": "\xff\xfe"}'),
    "directory": replace_by_directory,
    "unreadable": replace_by_broken_link,
    "link to nothing": replace_by_link_to_nothing,
    "pipe": replace_by_pipe,
}


@pytest.fixture(params=DAMAGES)
def damaged(request: pytest.FixtureRequest, journal: UndoJournal, tmp_path: Path) -> Path:
    """A damaged entry between two good ones; returns its file."""
    inject(journal, touch_fault(tmp_path, name="first"))
    bad = inject(journal, touch_fault(tmp_path, name="bad"))
    inject(journal, touch_fault(tmp_path, name="second"))
    file = journal.folder / f"{bad.id}.json"
    DAMAGES[request.param](file)
    return file


def test_rollback_names_an_unreadable_entry_and_undoes_all_others(
    journal: UndoJournal, tmp_path: Path, damaged: Path
) -> None:
    with pytest.raises(UndoFailedError, match="the journal entry cannot be read") as error:
        journal.rollback()
    assert str(damaged) in error.value.detail
    assert "then delete it" in error.value.remedy
    assert len(error.value.undone) == 2
    assert not (tmp_path / "first").exists()
    assert not (tmp_path / "second").exists()


def test_renamed_entry_is_undone_and_deleted(journal: UndoJournal, tmp_path: Path) -> None:
    entry = inject(journal, touch_fault(tmp_path))
    (journal.folder / f"{entry.id}.json").rename(journal.folder / "copy of an entry.json")
    journal.rollback()
    assert not (tmp_path / "injected").exists()
    assert journal.open_faults() == []


def test_entry_that_cannot_be_locked_stops_no_other(journal: UndoJournal, tmp_path: Path) -> None:
    inject(journal, touch_fault(tmp_path, name="other"))
    bad = inject(journal, touch_fault(tmp_path, name="bad"))
    lock = journal.folder / f"{bad.id}.lock"
    lock.unlink()
    lock.symlink_to(lock)
    with pytest.raises(UndoFailedError, match="bad is not undone"):
        journal.rollback()
    assert not (tmp_path / "other").exists()


def test_watchdog_names_an_unreadable_entry_and_undoes_all_others(
    journal: UndoJournal, tmp_path: Path, damaged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = ProcessIdentity(pid=1 << 22, start_ticks=1, boot_id="")
    for entry in journal.open_faults():
        file = journal.folder / f"{entry.id}.json"
        file.write_text(entry.model_copy(update={"owner": gone}).model_dump_json())
    watchdog_process.watch(journal, gone)
    assert not (tmp_path / "first").exists()
    assert not (tmp_path / "second").exists()
    assert capsys.readouterr().err.count(f"{damaged}: the journal entry cannot be read") == 1


def test_watchdog_whose_log_is_on_a_full_disk_undoes_all_faults(
    journal: UndoJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        inject(journal, touch_fault(tmp_path, name=name), max_seconds=0)
    full = SimpleNamespace(write=lambda _: os.write(full_disk, b"x"), flush=lambda: None)
    full_disk = os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr(sys, "stderr", full)
    try:
        watchdog_process.watch(journal, ProcessIdentity(pid=1 << 22, start_ticks=1, boot_id=""))
    finally:
        os.close(full_disk)
    assert journal.open_faults() == []


def test_preconditions_name_an_unreadable_entry(journal: UndoJournal, damaged: Path) -> None:
    for entry in journal.open_faults():
        journal.undo(entry)
    target: Any = SimpleNamespace(journal=journal, environment="local", find_problems=list)
    with pytest.raises(EsqError, match="an entry of the journal cannot be read") as error:
        safety.check_preconditions(target)
    assert str(damaged) in error.value.detail


def test_unreadable_folder_is_not_an_empty_journal(tmp_path: Path) -> None:
    (tmp_path / "open").touch()
    with pytest.raises(EsqError, match="the undo journal cannot be read"):
        UndoJournal(tmp_path / "open").read()


def test_watchdog_leaves_faults_in_time_to_their_owner(journal: UndoJournal, tmp_path: Path) -> None:
    inject(journal, touch_fault(tmp_path, name="in time"))
    inject(journal, touch_fault(tmp_path, name="late"), max_seconds=0)
    watch = threading.Thread(target=watchdog_process.watch, args=(journal, ProcessIdentity.current()))
    watch.daemon = True  # it watches as long as this process lives
    watch.start()
    wait_until("the undo of the late fault", lambda: len(journal.open_faults()) == 1, 20)
    assert (tmp_path / "in time").exists()
    assert not (tmp_path / "late").exists()
    journal.rollback()


def test_run_whose_lock_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EsqError, match="the lock of the run cannot be written"):
        run_lock.exclusive_run(UndoJournal(tmp_path / "file" / "open"), "test").__enter__()


def test_damaged_lock_of_a_run_names_nobody_and_excludes_nobody(journal: UndoJournal) -> None:
    journal.folder.mkdir()
    (journal.folder / "run.lock").write_bytes(b'{"run_id": "\xff')
    assert run_lock.active_run(journal) is None
    with run_lock.exclusive_run(journal, "test") as run:
        assert run_lock.active_run(journal) == run
        second = run_lock.exclusive_run(journal, "another")
        with pytest.raises(run_lock.RunInProgressError, match="`test`") as error:
            second.__enter__()
        assert error.value.remedy.endswith(f"kill -INT {os.getpid()}")
