"""The dead-man timer: undoes what an experiment left open when it died or overran its time.

A process of its own, in a session of its own, so that what kills the experiment does not kill it as well. It
ends when its experiment has ended and nothing is open any more. One runs per environment: a second one finds
the lock taken and leaves.

    python -m chaos.deadman JOURNAL_FOLDER OWNER_PID
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
import time
from pathlib import Path

import psutil

from chaos.journal import Owner, UndoFailedError, UndoJournal

LOOK_SECONDS = 0.5


def start(journal: UndoJournal) -> None:
    """Start the timer for this process."""
    journal.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (journal.folder / "deadman.log").open("a") as log:
        subprocess.Popen(
            [sys.executable, "-m", "chaos.deadman", str(journal.folder), str(Owner.me().pid)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def watch(journal: UndoJournal, owner: Owner) -> None:
    """Undo what is overdue until the owner is gone and nothing is open."""
    while owner.alive or journal.entries():
        now = time.time()
        try:
            for entry in journal.recover(only=lambda each, now=now: each.overdue(now)):  # type: ignore[misc]  # a bound time
                _say(f"undid {entry.fault} of {entry.experiment}")
        except UndoFailedError as error:
            _say(f"{error.message}\n{error.detail}")
        time.sleep(LOOK_SECONDS)


def _say(what: str) -> None:
    sys.stdout.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {what}\n")
    sys.stdout.flush()


def main(folder: Path, pid: int) -> None:
    """Watch over `pid`, unless another timer watches over this folder already."""
    with (folder / "deadman.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        try:
            owner = Owner(pid=pid, started=psutil.Process(pid).create_time())
        except psutil.NoSuchProcess:
            owner = Owner(pid=pid, started=0.0)
        watch(UndoJournal(folder), owner)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
