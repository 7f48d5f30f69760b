"""Locust's master and workers as seen by `esq load`: starting, receiving results, stopping.

Locust's protocol has no authentication, and who reaches the master's port takes part in the run. So the
master listens on loopback; workers on other machines connect through a tunnel.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from infra.subprocesses import PYTHON_MODULE
from loadtests.master_messages import GeneratorFailedError, MasterMessages
from loadtests.protocol import CONFIG_VARIABLE, LoadConfig
from loadtests.scenarios import FOLDER, locustfile

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtests.protocol import GeneratorResult, LoadProfile, LoadTarget, Progress

LOOPBACK = "127.0.0.1"
START_TIMEOUT_SECONDS = 60
"""Until all local workers are connected; the load profile starts after that."""
REMOTE_START_TIMEOUT_SECONDS = 600
"""Until the workers on other machines are connected, which a person starts."""
EXIT_TIMEOUT_SECONDS = 10.0
"""From the end of a run, and from each signal, until a process has ended."""
MAX_ERROR_CHARACTERS = 2000
_DIE_WITH_PARENT = ("setpriv", "--pdeathsig", "TERM", "--")


class GeneratorPool:
    """Locust's master and workers that share a load profile; they run as long as the block.

    Args:
        scenario: name of the scenario.
        profile: load profile of all workers together, in arrivals.
        target: where requests are sent.
        count: number of workers on this machine.
        remote_count: number of workers that are started on other machines.
        port: port of the master on loopback; 0 for any.
    """

    def __init__(  # noqa: PLR0913 - one per property of a run
        self,
        scenario: str,
        profile: LoadProfile,
        target: LoadTarget,
        count: int,
        *,
        remote_count: int = 0,
        port: int = 0,
    ) -> None:
        self._scenario, self._count, self._remote_count = scenario, count, remote_count
        self._config = LoadConfig(profile=profile, target=target)
        self._port = port or _free_port()
        self._start_timeout = REMOTE_START_TIMEOUT_SECONDS if remote_count else START_TIMEOUT_SECONDS
        self._messages = MasterMessages(profile, self._start_timeout)
        self._processes: list[subprocess.Popen[str]] = []
        self._secret_file = -1

    @property
    def start(self) -> float:
        """Start of the load profile on the monotonic clock, seconds; 0 before it."""
        return self._messages.start

    def __enter__(self) -> Self:
        """Start the processes."""
        self._errors = tempfile.TemporaryFile("w+")
        master = (
            *("--master", "--headless", "--json-messages", "--master-bind-host", LOOPBACK),
            *("--master-bind-port", str(self._port)),
            *("--expect-workers", str(self._count + self._remote_count)),
            *("--expect-workers-max-wait", str(self._start_timeout)),
        )
        workers = ("--worker", "--master-host", LOOPBACK, "--master-port", str(self._port))
        self._secret_file = _secret_file()
        self._write_config()
        self._processes = [
            self._start_locust(master),
            self._start_locust((*workers, "--processes", str(self._count))),
        ]
        self._reader = threading.Thread(target=self._read_messages, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """End the processes, whether they have finished or not."""
        signals: tuple[signal.Signals | None, ...] = (signal.SIGINT, signal.SIGKILL)
        for number in signals if exception[0] else (None, *signals):  # after a regular end they end alone
            for process in self._processes:
                _signal_group(process, number)
            if [_has_ended(process) for process in self._processes] == [True, True]:
                break
        self._reader.join(EXIT_TIMEOUT_SECONDS)
        for process in self._processes:
            process.__exit__(None, None, None)
        self._errors.close()
        os.close(self._secret_file)
        self._secret_file = -1  # another file may get the number

    def run(self, on_progress: Callable[[Progress], None]) -> list[GeneratorResult]:
        """Run the load profile to its end.

        Args:
            on_progress: called with the progress of all workers together.

        Returns:
            The result of each worker. One that has ended early has a result that says so.

        Raises:
            GeneratorFailedError: Locust failed.
        """
        return self._messages.wait_for_results(on_progress, self._require_start, self._failure)

    def replace_tokens(self, tokens: dict[str, str]) -> None:
        """Send further requests of the local workers with other bearer tokens.

        Args:
            tokens: bearer token of each company.
        """
        if self._config.target is not None:
            target = self._config.target.model_copy(update={"tokens": tokens})
            self._config = self._config.model_copy(update={"target": target})
            self._write_config()

    def _write_config(self) -> None:
        """Write the configuration; a worker that reads an incomplete one reads it again."""
        text = self._config.model_dump_json().encode()
        os.ftruncate(self._secret_file, 0)
        os.pwrite(self._secret_file, text, 0)

    def _start_locust(self, options: tuple[str, ...]) -> subprocess.Popen[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
        return subprocess.Popen(
            [
                *(*_DIE_WITH_PARENT, *PYTHON_MODULE, "locust", "--skip-log-setup"),
                *("--locustfile", str(locustfile(self._scenario)), *options),
            ],
            env={**environment, CONFIG_VARIABLE: f"/proc/self/fd/{self._secret_file}"},
            pass_fds=(self._secret_file,),
            cwd=FOLDER.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,  # a group that is ended as a whole, and that Ctrl-C does not reach first
        )

    def _read_messages(self) -> None:
        for line in self._processes[0].stdout or ():
            self._messages.add(line)
        self._messages.end()

    def _require_start(self) -> None:
        if self.start == 0 and any(process.poll() for process in self._processes):
            raise self._failure("a process exited")

    def _failure(self, reason: str) -> GeneratorFailedError:
        self._errors.seek(0)
        return GeneratorFailedError(
            f"Locust failed: {reason}",
            location=str(locustfile(self._scenario)),
            remedy="Run the load test again. If it fails again, see Locust's standard error below.",
            detail=self._errors.read()[-MAX_ERROR_CHARACTERS:],
        )


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        return int(listener.getsockname()[1])


def _secret_file() -> int:
    """Return a descriptor of a file in memory: secrets are on no disk and on no command line."""
    return os.memfd_create("esq-load", 0)


def _signal_group(process: subprocess.Popen[str], number: int | None) -> None:
    if number is not None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)


def _has_ended(process: subprocess.Popen[str]) -> bool:
    """Wait until a process and its children have ended, or for a while."""
    deadline = time.monotonic() + EXIT_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        process.poll()
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False
