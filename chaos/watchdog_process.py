"""Program of the watchdog; see `chaos.watchdog`.

It exits when the experiment's process has ended and no fault is open. A failed undo is repeated with a
growing, jittered delay, as long as it takes.

    python -m chaos.watchdog_process JOURNAL_FOLDER ENVIRONMENT OWNER
"""

from __future__ import annotations

import fcntl
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from chaos.journal import UndoFailedError, UndoJournal
from chaos.journal_entry import seconds_since_boot
from infra.errors import EsqError
from infra.process_identity import ProcessIdentity

if TYPE_CHECKING:
    from chaos.journal_entry import OpenFault

CONFIRMATION = "watching\n"
LOG_FILE = "watchdog.log"
LOCK_FILE = "watchdog.lock"
POLL_INTERVAL_SECONDS = 0.25
ERROR_INTERVAL_SECONDS = 5.0
"""Time before the journal is read again after it could not be read."""


def watch(journal: UndoJournal, owner: ProcessIdentity) -> None:
    """Undo overdue faults until the owner has ended and no fault is open.

    Args:
        journal: the journal of the environment.
        owner: process of the experiment.
    """
    reported: set[str] = set()
    while True:
        has_ended = not owner.is_alive  # read before the entries, which it may still write
        contents = journal.read()
        for problem in contents.problems:
            if problem.location not in reported:
                reported.add(problem.location)
                _log(str(problem))
        for open_fault in reversed(contents.open_faults):
            now = seconds_since_boot()
            if open_fault.overdue(now) and open_fault.retry_due(now):
                _undo(journal, open_fault)
        if has_ended and not contents.open_faults:
            return
        time.sleep(POLL_INTERVAL_SECONDS)


def _undo(journal: UndoJournal, open_fault: OpenFault) -> None:
    try:
        journal.undo(open_fault)
    except UndoFailedError as error:
        _log(f"{error.message}, attempt {open_fault.undo_failures + 1}\n{error.detail}")
    else:
        _log(f"undid {open_fault.fault} of {open_fault.experiment}")


def _log(text: str) -> None:
    """Write to the log; a disk without space must not end the watchdog."""
    with suppress(OSError):
        sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n")
        sys.stderr.flush()


def main(folder: Path, environment: str, owner: ProcessIdentity) -> None:
    """Run the watchdog; no error ends it before its task is done.

    Args:
        folder: folder of the journal.
        environment: name of the environment.
        owner: process of the experiment.
    """
    # Shared by all watchdogs of an environment: it shows that there is one.
    with (folder / LOCK_FILE).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        _log(f"watching process {owner.pid}")
        sys.stdout.write(CONFIRMATION)
        sys.stdout.flush()
        while True:
            try:
                return watch(UndoJournal(folder, environment), owner)
            except EsqError as error:
                _log(f"{error.location}: {error.message}")
            except Exception:  # noqa: BLE001 - a defect here must not leave a fault open
                _log(traceback.format_exc())
            time.sleep(ERROR_INTERVAL_SECONDS)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], ProcessIdentity.model_validate_json(sys.argv[3]))
