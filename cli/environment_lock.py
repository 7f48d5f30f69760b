"""The lock of an environment: held for the whole of everything that changes it, reads included.

It consists of a lock on the environment's folder for this machine, which the kernel releases when the process
dies, and a Lease in the cluster for other machines. Both remember a run that did not complete, until one
has cleared what it left.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import os
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING

from cli.engine_results import EnvironmentLockedError
from cli.environment_lease import EnvironmentLease
from cli.lock_holder import LockHolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cli.environment import Environment


class EnvironmentLock:
    """A held lock.

    Args:
        environment: the locked environment.
        command: the command that holds it, for messages.
        incomplete: whether a run did not complete, and what it left was not cleared since.
        cleanup: releases what is acquired later.
    """

    def __init__(
        self, environment: Environment, command: str, cleanup: ExitStack, *, incomplete: bool
    ) -> None:
        self._environment = environment
        self._command = command
        self._cleanup = cleanup
        self._lease: EnvironmentLease | None = None
        self.incomplete = incomplete

    def hold_cluster(self, kubeconfig: Path) -> None:
        """Exclude other machines too, until the lock is released.

        Args:
            kubeconfig: the environment's cluster, which must respond.

        Raises:
            EnvironmentLockedError: a run on another machine uses the environment.
        """
        self._lease = EnvironmentLease(kubeconfig, self._environment.name, self._command)
        self._cleanup.enter_context(self._lease)
        self.incomplete = self.incomplete or self._lease.incomplete

    def mark_recovered(self) -> None:
        """Forget the run that did not complete: what it left is cleared."""
        self.incomplete = False
        if self._lease is not None:
            self._lease.incomplete = False


@contextmanager
def hold_environment(environment: Environment, command: str) -> Iterator[EnvironmentLock]:
    """Lock an environment on this machine.

    Args:
        environment: the environment.
        command: the command that holds it, for messages.

    Yields:
        The lock. A run that raises is remembered as incomplete; one that does not recover keeps the mark.

    Raises:
        EnvironmentLockedError: another run uses the environment.
    """
    with _locked_file(environment) as file:
        file.seek(0)
        incomplete = bool(file.read())
        file.truncate(0)
        file.write(
            f"{command} by {LockHolder.of_this_process()} since {dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M:%SZ}"
        )
        file.flush()
        with ExitStack() as cleanup:
            lock = EnvironmentLock(environment, command, cleanup, incomplete=incomplete)
            yield lock
        if not lock.incomplete:
            file.truncate(0)


def _locked_file(environment: Environment) -> IO[str]:
    """Open and lock the file; again when a destroy has deleted it between the two."""
    while True:
        environment.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with ExitStack() as cleanup:
            path = environment.folder / "lock"
            file = cleanup.enter_context(path.open("a+", encoding="utf-8"))
            _acquire(file, environment)
            if _is_linked(file, path):
                cleanup.pop_all()
                return file


def _is_linked(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _acquire(file: IO[str], environment: Environment) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise EnvironmentLockedError(
            f"another run uses `{environment.name}`: {file.read().strip()}",
            location=file.name,
            remedy="Wait until it ends, then repeat the command.",
        ) from None
