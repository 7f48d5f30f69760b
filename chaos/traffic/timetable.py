"""An open loop: attempts begin when the timetable says so, whatever became of those before.

A closed loop, which waits for an answer before it asks again, stops asking while the server stalls and so
sees one slow request where users would have seen hundreds. Latency is therefore counted from the planned
instant, and an attempt that cannot begin because too many are still open is counted as dropped, not left out.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from infra.measurements.slo_evaluation import MAX_START_DELAY_SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_SHOWN = 160
"""Characters of an error that are kept: enough to tell kinds apart."""


@dataclass
class Log:
    """What became of the attempts of one lane. Times are of the event loop's clock, in seconds.

    Attributes:
        name: of the lane, e.g. `postgres.write`.
        begun: the first planned instant.
        acked: sequence number, planned instant and instant of the acknowledgement of each success.
        failed: how many failed, and when the last of them did.
        errors: failures by what was said.
        dropped: attempts that never began.
        late: attempts that began late.
    """

    name: str
    begun: float = 0.0
    acked: list[tuple[int, float, float]] = field(default_factory=list)
    failed: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    dropped: int = 0
    late: int = 0

    def succeed(self, sequence: int, planned: float, now: float) -> None:
        """An attempt was acknowledged."""
        self.acked.append((sequence, planned, now))

    def fail(self, error: BaseException) -> None:
        """An attempt failed, or nobody knows."""
        self.failed += 1
        self.errors[f"{type(error).__name__}: {error}"[:_SHOWN]] += 1

    def silence(self, now: float) -> float:
        """Return the seconds since the last acknowledgement."""
        return now - (self.acked[-1][2] if self.acked else self.begun)


@dataclass(frozen=True)
class Lane:
    """A stream of attempts.

    Attributes:
        log: what became of them.
        attempt: makes one, given its sequence number; raises when it was not acknowledged.
        period: seconds between two planned instants.
        deadline: seconds after which an attempt is given up; nobody knows what became of it.
        most: attempts that may be open at once.
    """

    log: Log
    attempt: Callable[[int], Awaitable[None]]
    period: float = 0.2
    deadline: float = 3.0
    most: int = 40

    async def drive(self, start: float, stop: asyncio.Event) -> None:
        """Begin attempts on the timetable until told to stop; then await those that are open."""
        clock = asyncio.get_running_loop().time
        self.log.begun = start
        open_attempts: set[asyncio.Task[None]] = set()
        sequence = 0
        while not stop.is_set():
            planned = start + sequence * self.period
            await asyncio.sleep(planned - clock())
            self.log.late += clock() - planned > MAX_START_DELAY_SECONDS
            if len(open_attempts) >= self.most:
                self.log.dropped += 1
            else:
                task = asyncio.create_task(self._one(sequence, planned))
                open_attempts.add(task)
                task.add_done_callback(open_attempts.discard)
            sequence += 1
        if open_attempts:
            await asyncio.wait(open_attempts)

    async def _one(self, sequence: int, planned: float) -> None:
        try:
            async with asyncio.timeout(self.deadline):
                await self.attempt(sequence)
        except Exception as error:  # noqa: BLE001 - whatever a client raises, the attempt was not acknowledged
            self.log.fail(error)
        else:
            self.log.succeed(sequence, planned, asyncio.get_running_loop().time())
