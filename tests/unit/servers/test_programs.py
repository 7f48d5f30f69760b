"""Running programs: timeouts end the whole process group; guarded commands do nothing without their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infra import guarded_commands
from infra.process_identity import read_stat
from infra.subprocesses import CommandFailedError, run, wait_for_output
from tests.servers.process import wait_until

TIMEOUT_SECONDS = 20.0
START_AND_DIE = """
import sys
from infra import guarded_commands
process = guarded_commands.start(("sleep", "600"), "mark")
print(process.pid, flush=True)
sys.stdin.read()
"""


def is_running(pid: int) -> bool:
    return read_stat(pid) is not None


def test_timeout_ends_what_the_program_started(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with pytest.raises(CommandFailedError, match=r"timed out after 0.5 s") as error:
        run(["sh", "-c", f"echo started; sleep 600 & echo $! > {pid_file}; wait"], timeout=0.5)
    assert error.value.output == "started\n"
    child = int(pid_file.read_text())
    wait_until("the end of the child", lambda: not is_running(child), TIMEOUT_SECONDS)


def test_guarded_command_returns_its_output_and_reads_no_input() -> None:
    command = ("sh", "-c", "cat; echo $0 >&2; exit 3", "a b")
    with pytest.raises(CommandFailedError, match="exited with code 3") as error:
        wait_for_output(guarded_commands.start(command, "mark"), command, timeout=TIMEOUT_SECONDS)
    assert error.value.output == "a b\n"
    assert error.value.argv == command


def test_guarded_command_dies_with_its_parent() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", START_AND_DIE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert is_running(child)
    parent.kill()
    parent.communicate()
    wait_until("the end of the command", lambda: not is_running(child), TIMEOUT_SECONDS)


def test_command_never_runs_when_its_parent_dies_before_it_is_started(tmp_path: Path) -> None:
    harm = tmp_path / "harm"
    process = subprocess.Popen([*guarded_commands._WAIT_FOR_START, "touch", str(harm)], stdin=subprocess.PIPE)
    process.communicate()  # as the kernel closes the pipe of a dead parent
    assert process.returncode != 0
    assert not harm.exists()


def test_end_all_ends_detached_programs_of_the_same_mark_only() -> None:
    script = "setsid sleep 600 & sleep 600"
    marked = guarded_commands.start(("sh", "-c", script), f"mark-{os.getpid()}")
    other = guarded_commands.start(("sleep", "600"), f"mark-{os.getpid()}0")

    def members() -> list[int]:
        mark = f"{guarded_commands.MARK_VARIABLE}=mark-{os.getpid()}\0".encode()
        return [
            int(folder.name)
            for folder in Path("/proc").iterdir()
            if folder.name.isdecimal() and is_running(int(folder.name)) and mark in _environment(folder)
        ]

    wait_until("three programs", lambda: len(members()) == 3, TIMEOUT_SECONDS)
    guarded_commands.end_all(f"mark-{os.getpid()}")
    assert members() == []
    assert other.poll() is None
    guarded_commands.end_all(f"mark-{os.getpid()}0")
    for process in (marked, other):
        process.communicate(timeout=TIMEOUT_SECONDS)


def _environment(folder: Path) -> bytes:
    try:
        return (folder / "environ").read_bytes() + b"\0"
    except OSError:
        return b""


RUN = """
import sys
from infra.subprocesses import run
run(["sh", "-c", sys.argv[1]])
"""


def test_interrupt_reaches_what_the_program_started(tmp_path: Path) -> None:
    """As on the terminal, from which its process group is apart."""
    trap = f"trap 'touch {tmp_path}/interrupted; exit 1' INT; touch {tmp_path}/ready; while :; do sleep 0.05; done"
    process = subprocess.Popen([sys.executable, "-c", RUN, trap], stderr=subprocess.PIPE, text=True)
    wait_until("the program", (tmp_path / "ready").exists, TIMEOUT_SECONDS)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=TIMEOUT_SECONDS)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert (tmp_path / "interrupted").exists()
