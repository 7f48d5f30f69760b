"""Open-loop load: attempts start at their planned times, independently of earlier attempts.

A closed loop, which waits for a response before the next request, stops sending while the server stalls: it
records one slow request where users would see hundreds. Latency is therefore measured from the planned time,
and an attempt that cannot start because too many are open is counted as dropped.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from infra.measurements.slo_evaluation import MAX_START_DELAY_SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

START_DELAY_SECONDS = 0.2
"""Time between the message that all clients have reached their services and the first attempt."""
_MAX_ERROR_LENGTH = 160
"""Characters of an error message that are kept: enough to distinguish kinds of errors."""


class CorruptReadError(Exception):
    """A read returned another content than was written."""


class StaleReadError(Exception):
    """A read returned an older version than one that was acknowledged before the read started."""


@dataclass
class StreamLog:
    """Results of the attempts of a stream. Times are seconds on the clock of the event loop.

    Attributes:
        name: name of the stream, for example `postgres.write`.
        started_at: first planned time.
        acked: sequence number, planned time and acknowledgement time of each successful attempt.
        failed: number of failed attempts.
        errors: number of failures by error message.
        dropped: attempts that were not started.
        late: attempts that started late.
        period: seconds between two planned times; None for a stream without own attempts.
        corrupt: failed reads that returned another content than was written.
        stale: failed reads that returned an older version than an acknowledged one.
    """

    name: str
    started_at: float = 0.0
    acked: list[tuple[int, float, float]] = field(default_factory=list)
    failed: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    dropped: int = 0
    late: int = 0
    period: float | None = None
    corrupt: int = 0
    stale: int = 0

    def succeed(self, sequence: int, planned: float, now: float) -> None:
        """Record an acknowledged attempt.

        Args:
            sequence: sequence number.
            planned: planned time.
            now: time of the acknowledgement.
        """
        self.acked.append((sequence, planned, now))

    def fail(self, error: BaseException) -> None:
        """Record an attempt that failed or whose outcome is unknown."""
        self.failed += 1
        self.corrupt += isinstance(error, CorruptReadError)
        self.stale += isinstance(error, StaleReadError)
        self.errors[f"{type(error).__name__}: {error}"[:_MAX_ERROR_LENGTH]] += 1

    @property
    def attempts(self) -> tuple[int, int]:
        """Number of acknowledged attempts, and of those that failed or were not started."""
        return len(self.acked), self.failed + self.dropped

    def silence(self, now: float) -> float:
        """Return the seconds since the last acknowledgement."""
        return now - (self.acked[-1][2] if self.acked else self.started_at)


@dataclass(frozen=True)
class Stream:
    """A stream of attempts.

    Attributes:
        log: results of the attempts.
        attempt: makes an attempt, given its sequence number; raises if it was not acknowledged.
        period: seconds between two planned times.
        deadline: seconds after which an attempt is cancelled; its outcome is unknown.
        max_open: maximum number of open attempts.
    """

    log: StreamLog
    attempt: Callable[[int], Awaitable[None]]
    period: float = 0.2
    deadline: float = 3.0
    max_open: int = 40

    async def run(self, start: float, stop: asyncio.Event) -> None:
        """Start attempts at their planned times until `stop` is set, then wait for the open ones.

        Args:
            start: first planned time (clock of the event loop).
            stop: ends the stream.
        """
        clock = asyncio.get_running_loop().time
        self.log.started_at, self.log.period = start, self.period
        open_attempts: set[asyncio.Task[None]] = set()
        sequence = 0
        while not stop.is_set():
            planned = start + sequence * self.period
            await asyncio.sleep(planned - clock())
            self.log.late += clock() - planned > MAX_START_DELAY_SECONDS
            if len(open_attempts) >= self.max_open:
                self.log.dropped += 1
            else:
                task = asyncio.create_task(self._run_attempt(sequence, planned))
                open_attempts.add(task)
                task.add_done_callback(open_attempts.discard)
            sequence += 1
        if open_attempts:
            await asyncio.wait(open_attempts)

    async def _run_attempt(self, sequence: int, planned: float) -> None:
        try:
            async with asyncio.timeout(self.deadline):
                await self.attempt(sequence)
        except Exception as error:  # noqa: BLE001 - any exception of a client means not acknowledged
            self.log.fail(error)
        else:
            self.log.succeed(sequence, planned, asyncio.get_running_loop().time())
