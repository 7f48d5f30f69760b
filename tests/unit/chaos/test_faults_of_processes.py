"""Signals hit who they are meant for, and nobody who was given his number later."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.faults import Command, hosts
from chaos.faults.hosts import HostProcess
from chaos.faults.processes import freeze_processes, kill_processes
from tests.controllers.process import await_true

NOBODY = HostProcess(pid=4_194_303, started=1)
"""One above what a process id can be."""


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            yield process
        finally:
            process.kill()


def code(command: Command) -> int:
    return subprocess.run(command, check=False).returncode


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def found(process: subprocess.Popen[bytes]) -> HostProcess:
    seen = hosts.process(process.pid)
    assert seen is not None
    return seen


def test_a_kill_kills(sleeper: subprocess.Popen[bytes]) -> None:
    (kill,) = kill_processes("x", [NOBODY, found(sleeper)]).inject
    assert code(kill) == 0
    assert sleeper.wait(timeout=5) == -9
    assert code(kill) != 0


def test_a_frozen_process_goes_on_when_it_is_undone_again_and_again(
    sleeper: subprocess.Popen[bytes],
) -> None:
    fault = freeze_processes("x", [found(sleeper)])
    assert code(fault.inject[0]) == 0
    await_true("stopped", lambda: state(sleeper.pid) == "T", 5)
    for _ in range(2):
        assert code(fault.undo[0]) == 0
        await_true("going on", lambda: state(sleeper.pid) != "T", 5)
    sleeper.kill()
    sleeper.wait()
    assert code(fault.undo[0]) == 0


def test_a_process_that_was_given_the_number_later_is_left_alone(sleeper: subprocess.Popen[bytes]) -> None:
    real = found(sleeper)
    older = real.model_copy(update={"started": real.started - 1})
    assert code(kill_processes("x", [older]).inject[0]) != 0
    assert code(freeze_processes("x", [older]).undo[0]) == 0
    assert sleeper.poll() is None
