"""Lock of a run: one run per environment and machine. The kernel releases it when the process dies."""

from __future__ import annotations

import datetime as dt
import fcntl
import uuid
from contextlib import ExitStack, contextmanager, suppress
from typing import IO, TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from infra.errors import EsqError
from infra.process_identity import ProcessIdentity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from chaos.journal import UndoJournal


class RunInProgressError(EsqError):
    """Another run uses the environment."""


class ActiveRun(BaseModel):
    """A run in progress.

    Attributes:
        experiment: name of its experiment.
        run_id: marks its entries in the undo journal.
        owner: its process.
        started_at: start (ISO 8601, UTC).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    experiment: str
    run_id: str
    owner: ProcessIdentity
    started_at: str

    def __str__(self) -> str:
        return f"`{self.experiment}` (process {self.owner.pid}) since {self.started_at}"


@contextmanager
def exclusive_run(journal: UndoJournal, experiment: str) -> Iterator[ActiveRun]:
    """Exclude other runs of the environment on this machine.

    Args:
        journal: the journal of the environment.
        experiment: name of the experiment.

    Yields:
        The run; its id marks its entries in the journal.

    Raises:
        EsqError: the lock cannot be written.
        RunInProgressError: another run uses the environment.
    """
    run = ActiveRun(
        experiment=experiment,
        run_id=uuid.uuid4().hex[:12],
        owner=ProcessIdentity.current(),
        started_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    )
    with ExitStack() as stack:
        file = _lock(journal, run, stack)
        try:
            yield run
        finally:
            file.truncate(0)


def _lock(journal: UndoJournal, run: ActiveRun, stack: ExitStack) -> IO[str]:
    """Return the file of the lock, which the stack closes."""
    try:
        journal.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = stack.enter_context(_path(journal).open("a+", encoding="utf-8"))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _refusal(journal, _read(file)) from None
        file.truncate(0)
        file.write(run.model_dump_json())
        file.flush()
    except OSError as error:
        raise EsqError(
            f"the lock of the run cannot be written: {error.strerror}",
            location=str(_path(journal)),
            remedy="No fault is injected without it. Repair the file system or its permissions first.",
        ) from error
    return file


def active_run(journal: UndoJournal) -> ActiveRun | None:
    """Return the run in progress on this machine; None if there is none."""
    try:
        with _path(journal).open(encoding="utf-8") as file:
            run = _read(file)
    except FileNotFoundError:
        return None
    # The lock is not tried: a run that starts at this moment would be refused.
    return run if run and run.owner.is_alive else None


def _refusal(journal: UndoJournal, other: ActiveRun | None) -> RunInProgressError:
    return RunInProgressError(
        f"another experiment runs on `{journal.environment}`: {other or 'it has just started'}",
        location=str(_path(journal)),
        remedy="Wait until it ends, or interrupt it: it undoes its faults."
        + (f" kill -INT {other.owner.pid}" if other else ""),
    )


def _path(journal: UndoJournal) -> Path:
    return journal.folder / "run.lock"


def _read(file: IO[str]) -> ActiveRun | None:
    file.seek(0)
    with suppress(ValueError):  # incomplete, or damaged
        return ActiveRun.model_validate_json(file.read())
    return None
