"""Watchdog of a run: undoes its faults if it dies or exceeds its time.

Each run has its own, so that the end of one run does not end the protection of another. It runs as a process
in its own session: a signal to the experiment does not reach it. It confirms that it watches before `start`
returns, and is started again when it dies.
"""

from __future__ import annotations

import fcntl
import logging
import select
import subprocess
import threading
from typing import IO, TYPE_CHECKING

from chaos.watchdog_process import CONFIRMATION, LOCK_FILE, LOG_FILE
from infra.errors import EsqError
from infra.process_identity import ProcessIdentity
from infra.subprocesses import PYTHON_MODULE

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from chaos.journal import UndoJournal

CONFIRMATION_TIMEOUT_SECONDS = 30.0
STOP_TIMEOUT_SECONDS = 10.0
MAX_RESTARTS = 3
log = logging.getLogger(__name__)


class WatchdogFailedError(EsqError):
    """The watchdog does not run, so that no fault may be injected."""


class Watchdog:
    """Context manager: the watchdog of this process. Use `start`.

    Args:
        journal: the journal of the environment.
        on_loss: called with the reason if the watchdog died and cannot be started again.
    """

    def __init__(self, journal: UndoJournal, on_loss: Callable[[str], None]) -> None:
        self._journal = journal
        self._on_loss = on_loss
        self._owner = ProcessIdentity.current()
        self._stopped = threading.Event()
        self._process = self._launch()
        self._monitor = threading.Thread(target=self._restart_when_dead, name="watchdog", daemon=True)
        self._monitor.start()

    @property
    def pid(self) -> int:
        """Process id of the watchdog."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the watchdog; while a fault of this process is open, it goes on without supervision."""
        self._stopped.set()
        if not self._has_open_fault():
            self._process.terminate()
            self._monitor.join(STOP_TIMEOUT_SECONDS)

    def _has_open_fault(self) -> bool:
        try:
            return any(open_fault.owner == self._owner for open_fault in self._journal.open_faults())
        except EsqError:
            return True  # the journal cannot be read now, but may be later

    def _restart_when_dead(self) -> None:
        for _ in range(MAX_RESTARTS):
            self._process.wait()
            if self._stopped.is_set():
                return
            log.warning("the watchdog died and is started again")
            try:
                self._process = self._launch()
            except WatchdogFailedError as error:
                self._on_loss(error.message)
                return
        self._process.wait()
        if not self._stopped.is_set():
            self._on_loss(f"the watchdog died {MAX_RESTARTS + 1} times")

    def _launch(self) -> subprocess.Popen[str]:
        """Start the process and wait until it confirms that it watches this one."""
        self._journal.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        arguments = (str(self._journal.folder), self._journal.environment, self._owner.model_dump_json())
        with (self._journal.folder / LOG_FILE).open("a", encoding="utf-8") as log_file:
            process = subprocess.Popen(
                [*PYTHON_MODULE, "chaos.watchdog_process", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log_file,
                text=True,
                start_new_session=True,
            )
        try:
            self._require_confirmation(process.stdout)
        except BaseException:
            process.kill()
            process.wait()
            raise
        return process

    def _require_confirmation(self, stdout: IO[str] | None) -> None:
        if stdout is None:
            raise TypeError("the process was started with a pipe")
        with stdout:
            readable, _, _ = select.select([stdout], [], [], CONFIRMATION_TIMEOUT_SECONDS)
            if readable and stdout.readline() == CONFIRMATION:
                return
        raise WatchdogFailedError(
            "the watchdog does not confirm that it watches this run",
            location=str(self._journal.folder / LOG_FILE),
            remedy="See the end of this log.",
        )


def start(journal: UndoJournal, on_loss: Callable[[str], None] = log.error) -> Watchdog:
    """Start the watchdog of this process; return when it watches.

    Args:
        journal: the journal of the environment.
        on_loss: called with the reason if it died and cannot be started again: the run must be aborted.

    Raises:
        WatchdogFailedError: it does not start.
    """
    return Watchdog(journal, on_loss)


def is_watched(journal: UndoJournal) -> bool:
    """Return whether a watchdog runs for an environment."""
    try:
        with (journal.folder / LOCK_FILE).open(encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
