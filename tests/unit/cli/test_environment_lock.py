"""The lock of an environment on one machine."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from cli import environment_lock
from cli.backend_lock import LockOwner, is_running, lock_owners
from cli.engine_results import EnvironmentLockedError
from cli.environment import Environment, load_environment
from cli.environment_lock import hold_environment
from cli.lock_holder import LockHolder

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).parents[3]
HOLDER = """
import time
from cli.environment import load_environment
from cli.environment_lock import hold_environment
with hold_environment(load_environment("local"), "destroy"):
    print("held", flush=True)
    time.sleep(60)
"""
MESSAGE = """error: the stack is currently locked by 2 lock(s). Either wait for the other process(es) to end or delete the lock file with `pulumi cancel`.
  file:///b/.pulumi/locks/organization/esq/local-data/1.json: created by root@zebra (pid 4242) at 2026-01-31T12:00:00Z
  file:///b/.pulumi/locks/organization/esq/local-data/2.json: created by me@lion (pid 7) at 2026-01-31T12:00:01+01:00
"""


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Environment:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return load_environment("local")


@pytest.fixture
def holder(environment: Environment) -> Iterator[subprocess.Popen[str]]:  # noqa: ARG001 - sets the folder
    environment_variables = {**os.environ, "PYTHONPATH": str(PROJECT)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True, env=environment_variables
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def was_incomplete(environment: Environment) -> bool:
    """Hold the lock and return whether the last run did not complete."""
    with hold_environment(environment, "deploy") as lock:
        return lock.incomplete


def test_second_run_is_told_who_holds_the_lock_since_when(
    environment: Environment, holder: subprocess.Popen[str]
) -> None:
    with pytest.raises(EnvironmentLockedError) as error:
        was_incomplete(environment)
    assert "another run uses `local`: destroy by " in error.value.message
    assert f"process {holder.pid} since 20" in error.value.message


def test_killed_holder_releases_the_lock_and_is_remembered(
    environment: Environment, holder: subprocess.Popen[str]
) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert was_incomplete(environment)


def test_failed_run_is_remembered_until_one_recovers(environment: Environment) -> None:
    assert not was_incomplete(environment)
    with pytest.raises(ValueError, match="on purpose"), hold_environment(environment, "deploy"):
        raise ValueError("on purpose")
    assert was_incomplete(environment)
    assert was_incomplete(environment), "a command that takes the lock only does not forget it"
    with hold_environment(environment, "deploy") as lock:
        lock.mark_recovered()
    assert not was_incomplete(environment)


def test_locks_of_different_environments_are_independent(
    environment: Environment, holder: subprocess.Popen[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert holder.poll() is None
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    assert load_environment("local").folder != environment.folder
    assert not was_incomplete(load_environment("local"))


def test_lock_file_that_a_destroy_has_deleted_meanwhile_is_not_held(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire, acquired = environment_lock._acquire, []

    def acquire_late(file: IO[str], environment: Environment) -> None:
        if not acquired:
            shutil.rmtree(environment.folder)
        acquired.append(file)
        acquire(file, environment)

    monkeypatch.setattr(environment_lock, "_acquire", acquire_late)
    with (
        hold_environment(environment, "deploy"),
        (environment.folder / "lock").open("a") as file,
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert len(acquired) == 2


def test_owners_are_read_from_the_message_of_the_engine() -> None:
    owners = lock_owners(MESSAGE)
    assert [(owner.host, owner.pid) for owner in owners] == [("zebra", 4242), ("lion", 7)]
    assert owners[0].since.isoformat() == "2026-01-31T12:00:00+00:00"
    assert lock_owners("[409] Conflict: Another update is currently in progress.") == []


def test_owner_is_gone_only_on_this_machine_and_without_its_process(holder: subprocess.Popen[str]) -> None:
    identity = LockHolder.of_this_process()
    host = identity.user.rpartition("@")[2]
    (owner,) = lock_owners(MESSAGE)[:1]
    assert not owner.is_gone, "a process of another machine may be alive"
    assert LockOwner(host, os.getpid(), owner.since).is_gone, "this process started later than the lock"
    assert not is_running(holder.pid, before=0)
    holder.kill()
    holder.wait()
    assert not is_running(holder.pid, before=time.time() + 10**6)


def test_identity_of_a_holder_is_complete() -> None:
    holder = LockHolder.of_this_process()
    assert LockHolder.parse(holder.identity) is not None
    assert not holder.is_gone
    assert holder.is_alive
    process = holder.process
    gone = replace(holder, process=process.model_copy(update={"pid": 1 << 22}))
    assert gone.is_gone
    reused = process.model_copy(update={"start_ticks": process.start_ticks - 1})
    assert replace(holder, process=reused).is_gone, "a later process has the same id"
    on_other_machine = gone.process.model_copy(update={"boot_id": "of-another-machine"})
    assert not replace(gone, process=on_other_machine).is_gone
    in_another_container = replace(gone, pid_namespace="pid:[1]")
    assert not in_another_container.is_gone
    assert not in_another_container.is_alive
    assert LockHolder.parse("somebody else's lock") is None
