"""Process faults: signals reach the intended processes and no process with a reused pid."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.faults import Command, host_processes
from chaos.faults.host_processes import HostProcess
from chaos.faults.processes import freeze_processes, kill_processes
from tests.servers.process import wait_until

MISSING = HostProcess(pid=4_194_303, start_ticks=1)
"""Its pid is one above the largest possible one."""


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            yield process
        finally:
            process.kill()


def exit_code(command: Command) -> int:
    return subprocess.run(command, check=False).returncode


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def host_process(process: subprocess.Popen[bytes]) -> HostProcess:
    identity = host_processes.process(process.pid)
    assert identity is not None
    return identity


def test_kill_sends_sigkill(sleeper: subprocess.Popen[bytes]) -> None:
    (kill,) = kill_processes("x", [MISSING, host_process(sleeper)]).inject
    assert exit_code(kill) == 0
    assert sleeper.wait(timeout=5) == -9
    assert exit_code(kill) != 0


def test_frozen_process_continues_after_repeated_undo(sleeper: subprocess.Popen[bytes]) -> None:
    fault = freeze_processes("x", [host_process(sleeper)])
    assert exit_code(fault.inject[0]) == 0
    wait_until("stopped", lambda: state(sleeper.pid) == "T", 5)
    for _ in range(2):
        assert exit_code(fault.undo[0]) == 0
        wait_until("running", lambda: state(sleeper.pid) != "T", 5)
    sleeper.kill()
    sleeper.wait()
    assert exit_code(fault.undo[0]) == 0


def test_process_with_a_reused_pid_receives_no_signal(sleeper: subprocess.Popen[bytes]) -> None:
    process = host_process(sleeper)
    earlier = process.model_copy(update={"start_ticks": process.start_ticks - 1})
    assert exit_code(kill_processes("x", [earlier]).inject[0]) != 0
    assert exit_code(freeze_processes("x", [earlier]).undo[0]) == 0
    assert sleeper.poll() is None
