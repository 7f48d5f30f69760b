"""Runs that are killed at any moment: afterwards nothing disturbs the system, and the journal is empty."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psutil
import pytest

from chaos import run_lock, watchdog
from chaos.faults import Fault
from chaos.journal import UndoJournal
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

TIMEOUT_SECONDS = 30.0
TOOL = """
import signal, sys, time
from pathlib import Path
from chaos import run_lock, watchdog
from chaos.faults import Fault
from chaos.journal import UndoJournal
from infra import guarded_commands
from infra.errors import EsqError

def interrupt(*_):
    raise KeyboardInterrupt

def stop_before_the_command(argv, mark):
    guarded_commands.start = start
    print("before", flush=True)
    time.sleep(600)

signal.signal(signal.SIGTERM, interrupt)
journal, start = UndoJournal(Path(sys.argv[1]), "local"), guarded_commands.start
fault, mode = Fault.model_validate_json(sys.argv[2]), sys.argv[3]
if mode == "before":
    guarded_commands.start = stop_before_the_command
try:
    with run_lock.exclusive_run(journal, "zone-lost"):
        protection = watchdog.start(journal)
        print(protection.pid, flush=True)
        try:
            journal.inject(fault, experiment="zone-lost", max_seconds=600)
            print("injected", flush=True)
            time.sleep(0 if mode == "end" else 600)
        finally:
            journal.rollback()
            protection.stop()
    print("ended", flush=True)
    time.sleep(600)
except EsqError as error:
    print(error.message, flush=True)
"""
WAIT_THEN_HARM = 'until [ -e "$0/go" ]; do sleep 0.02; done; touch "$0/harm"'


class Tool:
    """A process that runs an experiment.

    Args:
        folder: folder of the journal and of the files that the fault creates.
        mode: `before` stops it before the first command of the injection, `end` ends the run after it.
        fault: the fault; `creates_file` by default.
    """

    def __init__(self, folder: Path, mode: str = "", fault: Fault | None = None) -> None:
        self.folder = folder
        self.journal = UndoJournal(folder / "open", "local")
        text = (fault or creates_file(folder)).model_dump_json()
        self._process = subprocess.Popen(
            [sys.executable, "-c", TOOL, str(self.journal.folder), text, mode],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.watchdog_pid = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.send(signal.SIGKILL)
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def watched(self) -> Tool:
        """Wait until its watchdog has confirmed."""
        self.watchdog_pid = int(self.line())
        return self

    def reached(self, line: str) -> Tool:
        """Wait for its next message."""
        assert self.line() == line
        return self

    def send(self, number: signal.Signals) -> None:
        """Send a signal and wait for the end of the process."""
        self._process.send_signal(number)
        self._process.wait(TIMEOUT_SECONDS)


def creates_file(folder: Path) -> Fault:
    file = str(folder / "injected")
    return Fault(kind="file", target="disk", inject=(("touch", file),), undo=(("rm", "-f", file),))


def harms_later(folder: Path) -> Fault:
    """A fault whose command and two programs that it started, one detached, wait before they do harm."""
    script = (
        f'setsid sh -c \'{WAIT_THEN_HARM}\' "$0" & sh -c \'{WAIT_THEN_HARM}\' "$0" & touch "$0/injected"; '
    )
    command = ("sh", "-c", script + WAIT_THEN_HARM, str(folder))
    return creates_file(folder).model_copy(update={"inject": (command,)})


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder whose path is an argument of all programs of the faults; those left are killed after the test."""
    folder = tmp_path / uuid.uuid4().hex
    folder.mkdir()
    yield folder
    for process in programs(folder):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def programs(folder: Path) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(folder) in (process.info["cmdline"] or ()) and process.status() != psutil.STATUS_ZOMBIE
    ]


def assert_no_harm(folder: Path) -> None:
    """Nothing of a fault is left, and nothing is left that could do harm later."""
    (folder / "go").touch()
    assert programs(folder) == []
    assert not (folder / "injected").exists()
    assert not (folder / "harm").exists()
    assert [file.name for file in (folder / "open").iterdir() if file.suffix in {".json", ".new"}] == []


def wait_for_watchdog(tool: Tool) -> None:
    """Wait until it has nothing to do any more."""
    wait_until("the end of the watchdog", lambda: not psutil.pid_exists(tool.watchdog_pid), TIMEOUT_SECONDS)


def before(folder: Path) -> Tool:
    return Tool(folder, "before").watched().reached("before")


def during(folder: Path) -> Tool:
    tool = Tool(folder, fault=harms_later(folder)).watched()
    wait_until("the injection", (folder / "injected").exists, TIMEOUT_SECONDS)
    wait_until("all programs", lambda: len(programs(folder)) == 3, TIMEOUT_SECONDS)
    return tool


def after(folder: Path) -> Tool:
    return Tool(folder).watched().reached("injected")


MOMENTS = pytest.mark.parametrize("moment", [before, during, after], ids=lambda moment: moment.__name__)


@MOMENTS
@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name
)
def test_killed_run_leaves_no_harm(
    folder: Path, moment: Callable[[Path], Tool], number: signal.Signals
) -> None:
    with moment(folder) as tool:
        tool.send(number)
        wait_for_watchdog(tool)
        assert_no_harm(folder)


@MOMENTS
def test_rollback_after_run_and_watchdog_were_killed(folder: Path, moment: Callable[[Path], Tool]) -> None:
    with moment(folder) as tool:
        os.kill(tool.pid, signal.SIGSTOP)  # so that it cannot start another watchdog
        os.kill(tool.watchdog_pid, signal.SIGKILL)
        tool.send(signal.SIGKILL)
        wait_for_watchdog(tool)
        assert len(tool.journal.open_faults()) == 1
        tool.journal.rollback()
        assert_no_harm(folder)


def test_killed_watchdog_is_replaced(folder: Path) -> None:
    with after(folder) as tool:
        os.kill(tool.watchdog_pid, signal.SIGKILL)
        log = folder / "open" / "watchdog.log"
        wait_until("another watchdog", lambda: log.read_text().count("watching") == 2, TIMEOUT_SECONDS)
        assert watchdog.is_watched(tool.journal)
        tool.send(signal.SIGKILL)
        wait_until("the undo", lambda: "undid file of disk" in log.read_text(), TIMEOUT_SECONDS)
        assert_no_harm(folder)


def test_second_run_is_refused_and_names_the_first(folder: Path) -> None:
    with after(folder) as first, Tool(folder) as second:
        message = second.line()
        assert f"another experiment runs on `local`: `zone-lost` (process {first.pid}) since 20" in message
        assert (folder / "injected").exists()
        first.send(signal.SIGTERM)
        wait_for_watchdog(first)
        assert_no_harm(folder)


def test_second_run_is_protected_after_the_first_has_ended(folder: Path) -> None:
    with Tool(folder, "end") as first:
        first.watched().reached("injected").reached("ended")
        with after(folder) as second:
            first.send(signal.SIGKILL)
            wait_for_watchdog(first)
            assert (folder / "injected").exists()
            second.send(signal.SIGKILL)
            wait_for_watchdog(second)
            assert_no_harm(folder)


def test_lock_of_a_killed_run_is_free(folder: Path) -> None:
    with after(folder) as tool:
        tool.send(signal.SIGKILL)
        assert run_lock.active_run(tool.journal) is None
        with run_lock.exclusive_run(tool.journal, "next") as run:
            assert run_lock.active_run(tool.journal) == run
        assert run_lock.active_run(tool.journal) is None
        wait_for_watchdog(tool)


def test_failed_undo_is_repeated_and_logged(folder: Path) -> None:
    undo = ("sh", "-c", f"test -e {folder}/repaired && rm -f {folder}/injected")
    fault = creates_file(folder).model_copy(update={"undo": (undo,)})
    with Tool(folder, fault=fault) as tool:
        tool.watched().reached("injected").send(signal.SIGKILL)
        log = folder / "open" / "watchdog.log"
        wait_until("a repeated undo", lambda: "attempt 2" in log.read_text(), TIMEOUT_SECONDS)
        assert "exited with code 1" in log.read_text()
        (folder / "repaired").touch()
        wait_for_watchdog(tool)
        assert_no_harm(folder)


def test_no_run_without_a_confirmed_watchdog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "PYTHON_MODULE", ("false",))
    with pytest.raises(watchdog.WatchdogFailedError, match="does not confirm"):
        watchdog.start(UndoJournal(tmp_path))


def test_run_is_told_of_a_watchdog_that_cannot_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons: list[str] = []
    protection = watchdog.start(UndoJournal(tmp_path), reasons.append)
    monkeypatch.setattr(watchdog, "PYTHON_MODULE", ("false",))
    os.kill(protection.pid, signal.SIGKILL)
    wait_until("the message", lambda: bool(reasons), TIMEOUT_SECONDS)
    assert "does not confirm" in reasons[0]
    protection.stop()
