"""Runs the parts of `esq test` in lanes beside each other.

The parts of a lane run one after another. Each part writes to a file of its own, and this process prints the
files in order, so that the output of two parts is never mixed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence
    from concurrent.futures import Future

PROJECT = Path(__file__).resolve().parents[2]
STOP_TIMEOUT_SECONDS = 180.0
"""Timeout of the clean-up of an interrupted part: a test removes its cluster."""
PRINT_INTERVAL_SECONDS = 0.1


@dataclass(frozen=True)
class Part:
    """A part of `esq test`.

    Attributes:
        name: its name.
        commands: run one after another, also after a failure: one run reports every problem.
        environment: variables in addition to those of this process.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PartResult:
    """Result of a part.

    Attributes:
        part: its name.
        passed: whether all of its commands exited with 0.
        seconds: duration in seconds.
    """

    part: str
    passed: bool
    seconds: float


class Children:
    """The running programs, each in a process group of its own."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._running: list[subprocess.Popen[bytes]] = []
        self._interrupted = Event()

    def run(self, argv: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
        """Run a program in the project's folder and return its exit code.

        Args:
            argv: program and arguments.
            environment: its variables.
            log: file to which its output is appended.
        """
        with log.open("ab") as output:
            output.write(f"$ {' '.join(argv)}\n".encode())
            output.flush()
            with self._lock:
                if self._interrupted.is_set():
                    return -signal.SIGINT
                process = subprocess.Popen(
                    argv,
                    cwd=PROJECT,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    process_group=0,
                )
                self._running.append(process)
            code = process.wait()
        with self._lock:
            self._running.remove(process)
        return code

    def interrupt(self) -> None:
        """Interrupt all programs as Ctrl-C does, and kill those that do not exit in time; start no more."""
        with self._lock:
            self._interrupted.set()
            running = list(self._running)
        for process in running:
            _signal(process, signal.SIGINT)
        deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
        for process in running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(deadline - time.monotonic(), 0))
            _signal(process, signal.SIGKILL)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def run_lanes(lanes: Sequence[Sequence[Part]], logs: Path) -> list[PartResult]:
    """Run lanes beside each other and print the output of their parts in order.

    Args:
        lanes: the parts of each lane. The output of the first lane is printed while it runs.
        logs: folder for the output of each part.

    Returns:
        The results in the order of the lanes.

    Raises:
        KeyboardInterrupt: interrupted; all programs have exited.
    """
    children = Children()
    with ExitStack() as stack:
        pools = [stack.enter_context(ThreadPoolExecutor(1)) for _ in lanes]
        started = [
            (pool.submit(run_part, part, children, log), log)
            for pool, lane in zip(pools, lanes, strict=True)
            for part, log in ((part, logs / f"{part.name}.log") for part in lane)
        ]
        try:
            return [_print_until_done(result, log) for result, log in started]
        except BaseException:
            children.interrupt()
            raise


def run_part(part: Part, children: Children, log: Path) -> PartResult:
    """Run the commands of a part.

    Args:
        part: to run.
        children: runs its programs.
        log: file for their output.
    """
    started_at = time.monotonic()
    codes = [children.run(command, _environment(part), log) for command in part.commands]
    return PartResult(part.name, not any(codes), time.monotonic() - started_at)


def run_in_foreground(part: Part, accepted: Container[int]) -> PartResult:
    """Run a part on the terminal of this process, for a debugger.

    Args:
        part: to run.
        accepted: exit codes of a part that passed.

    Raises:
        KeyboardInterrupt: interrupted; the running program, which was interrupted too, has exited.
    """
    started_at = time.monotonic()
    codes = []
    for command in part.commands:
        sys.stdout.write(f"$ {' '.join(command)}\n")
        sys.stdout.flush()
        process = subprocess.Popen(command, cwd=PROJECT, env=_environment(part))
        try:
            codes.append(process.wait())
        except KeyboardInterrupt:
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_TIMEOUT_SECONDS)
            process.kill()
            raise
    return PartResult(part.name, all(code in accepted for code in codes), time.monotonic() - started_at)


def _environment(part: Part) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PROJECT), **part.environment}


def _print_until_done(future: Future[PartResult], log: Path) -> PartResult:
    log.touch()
    with log.open("rb") as output:
        while True:
            done = future.done()  # read before the output, which is complete when this is true
            sys.stdout.buffer.write(output.read())
            sys.stdout.flush()
            if done:
                return future.result()
            time.sleep(PRINT_INTERVAL_SECONDS)
