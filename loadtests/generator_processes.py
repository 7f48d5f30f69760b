"""Generator processes as seen by `esq load`: starting, receiving results, stopping."""

from __future__ import annotations

import queue
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from infra.errors import EsqError
from infra.subprocesses import PYTHON_MODULE
from loadtests.protocol import GeneratorConfig, GeneratorMessage, GeneratorResult, Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtests.protocol import LoadProfile, LoadTarget

START_TIMEOUT_SECONDS = 30.0
"""Until all generators are ready; the load profile starts after that."""
RESULT_TIMEOUT_SECONDS = 120.0
"""After the load profile, for open arrivals and for the result."""
START_DELAY_SECONDS = 0.5
"""From when the generators are configured until the load profile starts."""
EXIT_TIMEOUT_SECONDS = 5.0
MAX_ERROR_CHARACTERS = 2000


class GeneratorFailedError(EsqError):
    """A generator exited or did not send its result in time."""


class GeneratorPool:
    """Generator processes that share a load profile; they run as long as the block.

    Args:
        scenario: name of the scenario.
        profile: load profile of all generators together.
        target: where requests are sent.
        count: number of processes.
        run_name: name of the run.
    """

    def __init__(
        self, scenario: str, profile: LoadProfile, target: LoadTarget, count: int, run_name: str
    ) -> None:
        self.start = 0.0
        self._configs = [
            GeneratorConfig(
                scenario=scenario,
                profile=profile,
                target=target,
                start=0,
                index=index,
                count=count,
                run_name=run_name,
            )
            for index in range(count)
        ]
        self._duration_seconds = profile.duration_seconds
        self._messages: queue.Queue[tuple[int, GeneratorMessage | None]] = queue.Queue()
        self._processes: list[subprocess.Popen[str]] = []
        self._readers: list[threading.Thread] = []

    def __enter__(self) -> Self:
        """Start the processes."""
        self._errors = tempfile.TemporaryFile("w+")
        for index in range(len(self._configs)):
            process = subprocess.Popen(
                [*PYTHON_MODULE, "loadtests.generator"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
            )
            self._processes.append(process)
            reader = threading.Thread(target=self._read_messages, args=(index, process), daemon=True)
            reader.start()
            self._readers.append(reader)
        return self

    def __exit__(self, *_: object) -> None:
        """Kill the processes, whether they have finished or not."""
        for process, reader in zip(self._processes, self._readers, strict=True):
            process.kill()
            reader.join()
            with suppress(BrokenPipeError):
                process.__exit__(None, None, None)
        self._errors.close()

    def run(self, on_progress: Callable[[Progress], None]) -> list[GeneratorResult]:
        """Run the load profile to its end.

        Args:
            on_progress: called with the progress of all generators together.

        Returns:
            The result of each generator.

        Raises:
            GeneratorFailedError: a generator failed.
        """
        self._wait_until_ready()
        self.start = time.monotonic() + START_DELAY_SECONDS
        for process, config in zip(self._processes, self._configs, strict=True):
            self._send(process, config.model_copy(update={"start": self.start}))
        deadline = self.start + self._duration_seconds + RESULT_TIMEOUT_SECONDS
        progress = [Progress()] * len(self._configs)
        results: dict[int, GeneratorResult] = {}
        while len(results) < len(self._configs):
            index, message = self._next_message(deadline)
            if message.result is not None:
                results[index] = message.result
            if message.progress is not None:
                progress[index] = message.progress
                on_progress(_sum(progress))
        return [results[index] for index in sorted(results)]

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        for _ in self._configs:
            self._next_message(deadline)

    def _send(self, process: subprocess.Popen[str], config: GeneratorConfig) -> None:
        if process.stdin is None:
            raise TypeError("the process was started with a pipe")
        try:
            process.stdin.write(config.model_dump_json())
            process.stdin.close()
        except BrokenPipeError as error:
            raise self._failure("it exited") from error

    def _read_messages(self, index: int, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            self._messages.put((index, GeneratorMessage.model_validate_json(line)))
        self._messages.put((index, None))

    def _next_message(self, deadline: float) -> tuple[int, GeneratorMessage]:
        """Return the next message; skip the end of output of a process that exited successfully."""
        while True:
            try:
                index, message = self._messages.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise self._failure("it sent no message in time") from None
            if message is not None:
                return index, message
            if self._processes[index].wait(timeout=EXIT_TIMEOUT_SECONDS):
                raise self._failure("it exited")

    def _failure(self, reason: str) -> GeneratorFailedError:
        self._errors.seek(0)
        return GeneratorFailedError(
            f"a load generator failed: {reason}",
            location="loadtests.generator",
            remedy="Run the load test again. If it fails again, see the generator's standard error below.",
            detail=self._errors.read()[-MAX_ERROR_CHARACTERS:],
        )


def _sum(generators: list[Progress]) -> Progress:
    return Progress(
        due=sum(progress.due for progress in generators),
        open=sum(progress.open for progress in generators),
        done=sum(progress.done for progress in generators),
        failed=sum(progress.failed for progress in generators),
    )
