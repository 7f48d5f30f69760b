"""Signals to the engine's process; the engine is a script here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from pulumi.automation.errors import CommandError

from cli import engine_process
from cli.engine_process import EngineCommand
from infra.progress import RecordedStep

PROJECT = Path(__file__).parents[3]
ENGINE = """#!/bin/bash
trap 'echo interrupted >> "$PULUMI_LOG"; [ -n "$PULUMI_STUBBORN" ] || { echo saved; exit 255; }' INT
echo $$ > "$PULUMI_LOG"
while true; do sleep 0.02; done
"""
PARENT = """
import sys, threading, time, types
import typer
from cli import main
from cli.engine_process import EngineCommand
from infra.progress import RecordedStep
main.EXIT_TIMEOUT_SECONDS = 0.5
folder, sys.argv = sys.argv[1], ["esq", "fake"]
module = types.ModuleType("tests_fake_command")
module.app = typer.Typer()
@module.app.command()
def fake():
    threading.Thread(target=time.sleep, args=(60,)).start()
    command = EngineCommand(folder)
    command.run_interruptible(lambda: command.run(["up"], ".", {"PULUMI_LOG": "log"}), RecordedStep("x"))
sys.modules["tests_fake_command"] = module
main.COMMANDS["fake"] = ("tests_fake_command", "")
main.main()
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    program = tmp_path / "pulumi"
    program.write_text(ENGINE)
    program.chmod(0o755)
    return tmp_path / "log"


def wait_for_line(log: Path) -> int:
    deadline = time.monotonic() + 20
    while not (log.exists() and log.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return int(log.read_text().split()[0])


def is_running(pid: int) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def run(log: Path, *, variables: dict[str, str], interrupts: int = 1) -> tuple[int, float]:
    """Run the engine and interrupt this thread; return the engine's process and how long the stop took."""
    command = EngineCommand(str(log.parent))
    started: list[float] = []

    def interrupt() -> None:
        wait_for_line(log)
        started.append(time.monotonic())
        for _ in range(interrupts):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.3)

    thread = threading.Thread(target=interrupt)
    thread.start()
    variables = {"PULUMI_LOG": str(log), **variables}
    with pytest.raises(KeyboardInterrupt):
        command.run_interruptible(
            lambda: command.run(["up"], str(log.parent), variables), RecordedStep("layer")
        )
    seconds = time.monotonic() - started[0]
    thread.join()
    return wait_for_line(log), seconds


def test_interrupt_reaches_the_engine_once_and_is_waited_for(log: Path) -> None:
    pid, _ = run(log, variables={})
    assert log.read_text().split()[1:] == ["interrupted"]
    assert not is_running(pid)


def test_engine_that_does_not_stop_is_killed_after_the_timeout(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_process, "CANCEL_TIMEOUT_SECONDS", 0.5)
    pid, seconds = run(log, variables={"PULUMI_STUBBORN": "1"})
    assert 0.5 <= seconds < 20
    assert log.read_text().split()[1:] == ["interrupted"]
    deadline = time.monotonic() + 10
    while is_running(pid):
        assert time.monotonic() < deadline


def test_second_interrupt_kills_the_engine(log: Path) -> None:
    _, seconds = run(log, variables={"PULUMI_STUBBORN": "1"}, interrupts=2)
    assert seconds < engine_process.CANCEL_TIMEOUT_SECONDS / 2


def test_interrupt_before_the_engine_starts_stops_it(log: Path) -> None:
    command = EngineCommand(str(log.parent))
    command.interrupt()
    with pytest.raises(CommandError):
        command.run(["up"], str(log.parent), {"PULUMI_LOG": str(log)})


def test_engine_dies_with_its_parent(log: Path, tmp_path: Path) -> None:
    with _esq(tmp_path) as parent:
        pid = wait_for_line(log)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while is_running(pid):
        assert time.monotonic() < deadline


def test_sigterm_stops_the_engine_and_no_thread_keeps_esq(log: Path, tmp_path: Path) -> None:
    with _esq(tmp_path) as parent:
        pid = wait_for_line(log)
        parent.send_signal(signal.SIGTERM)
        assert parent.wait(30) == 130
    assert not is_running(pid)
    assert log.read_text().split()[1:] == ["interrupted"]


def _esq(folder: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    return subprocess.Popen(
        [sys.executable, "-c", PARENT, str(folder)], cwd=folder, env=environment, stderr=subprocess.DEVNULL
    )
