"""The messages of Locust's master, from its start to the results of all workers."""

from __future__ import annotations

import queue
import time
from typing import TYPE_CHECKING

from infra.errors import EsqError
from loadtests.protocol import GeneratorMessage

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtests.protocol import GeneratorResult, LoadProfile, Progress

START_DELAY_SECONDS = 1.0
"""Between the plan and the start of the load profile: plans reach all workers before it."""
SPAWN_TIMEOUT_SECONDS = 30
"""From the connection of the last worker to the start of the load profile."""
RESULT_TIMEOUT_SECONDS = 120.0
"""After the load profile, for open arrivals and for the results."""
POLL_INTERVAL_SECONDS = 0.5


class GeneratorFailedError(EsqError):
    """Locust exited or did not send its results in time."""


class MasterMessages:
    """Messages of a master, which a thread adds and a run waits for.

    Args:
        profile: load profile of the run.
        start_timeout_seconds: limit until all workers are connected.

    Attributes:
        start: start of the load profile on the master's monotonic clock, seconds; 0 before it.
        start_here: the same on this machine's clock, if the clocks cannot be compared: late by the time that
            the message took.
    """

    def __init__(self, profile: LoadProfile, start_timeout_seconds: float) -> None:
        self.start = self.start_here = 0.0
        self._profile = profile
        self._start_timeout_seconds = start_timeout_seconds
        self._messages: queue.Queue[GeneratorMessage | None] = queue.Queue()

    def add(self, line: str) -> None:
        """Add a line of the master's standard output."""
        self._messages.put(GeneratorMessage.model_validate_json(line))

    def end(self) -> None:
        """Add the end of the master's standard output."""
        self._messages.put(None)

    def wait_for_results(
        self,
        on_progress: Callable[[Progress], None],
        on_wait: Callable[[], None],
        failure: Callable[[str], GeneratorFailedError],
    ) -> list[GeneratorResult]:
        """Wait for the results of a run.

        Args:
            on_progress: called with the progress of all workers together.
            on_wait: called repeatedly while there is no message; may raise.
            failure: returns the error of a master that fails for a reason.

        Returns:
            The result of each worker. One that has ended early has a result that says so.

        Raises:
            GeneratorFailedError: the master exited or sent no message in time.
        """
        deadline = time.monotonic() + self._start_timeout_seconds + SPAWN_TIMEOUT_SECONDS
        while True:
            try:
                message = self._messages.get(timeout=POLL_INTERVAL_SECONDS)
            except queue.Empty:
                if time.monotonic() > deadline:
                    raise failure("it sent no message in time") from None
                on_wait()
                continue
            if message is None:
                raise failure("the master exited")
            if message.start is not None:
                self.start, self.start_here = message.start, time.monotonic() + START_DELAY_SECONDS
                deadline = time.monotonic() + self._profile.duration_seconds + RESULT_TIMEOUT_SECONDS
            if message.progress is not None:
                on_progress(message.progress)
            if message.results is not None:
                return message.results
