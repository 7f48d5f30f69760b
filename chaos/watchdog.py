"""Watchdog: undoes the faults of an experiment that died or exceeded its time.

It runs as a process in its own session, so that a signal to the experiment does not reach it.
It exits when the experiment has ended and no fault is open. Only one watchdog runs per environment: a
second one finds the lock taken and exits.

    python -m chaos.watchdog JOURNAL_FOLDER OWNER_PID
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
import time
from pathlib import Path

import psutil

from chaos.journal import ProcessIdentity, UndoFailedError, UndoJournal
from infra.subprocesses import PYTHON_MODULE

POLL_INTERVAL_SECONDS = 0.5


def start(journal: UndoJournal) -> None:
    """Start the watchdog of this process."""
    journal.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (journal.folder / "watchdog.log").open("a") as log:
        subprocess.Popen(
            [*PYTHON_MODULE, "chaos.watchdog", str(journal.folder), str(ProcessIdentity.current().pid)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def watch(journal: UndoJournal, owner: ProcessIdentity) -> None:
    """Undo overdue faults until the owner has ended and no fault is open.

    Args:
        journal: the journal of the environment.
        owner: process of the experiment.
    """
    while owner.is_alive or journal.open_faults():
        now = time.time()
        try:
            for open_fault in journal.rollback(select=lambda fault, now=now: fault.overdue(now)):  # type: ignore[misc]  # a bound time
                _log(f"undid {open_fault.fault} of {open_fault.experiment}")
        except UndoFailedError as error:
            _log(f"{error.message}\n{error.detail}")
        time.sleep(POLL_INTERVAL_SECONDS)


def _log(text: str) -> None:
    sys.stdout.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n")
    sys.stdout.flush()


def main(folder: Path, pid: int) -> None:
    """Run the watchdog, unless another one runs for this folder.

    Args:
        folder: folder of the journal.
        pid: process id of the experiment.
    """
    with (folder / "watchdog.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        try:
            owner = ProcessIdentity(pid=pid, started_at=psutil.Process(pid).create_time())
        except psutil.NoSuchProcess:
            owner = ProcessIdentity(pid=pid, started_at=0.0)
        watch(UndoJournal(folder), owner)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
