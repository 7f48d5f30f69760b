"""Helpers of the contract tests: creating and reserving jobs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from services.kit.queue.job import Job

if TYPE_CHECKING:
    from services.kit.queue.job import Lease
    from services.kit.queue.ports import Queue
    from tests.clock import FakeClock


def moment(clock: FakeClock, seconds: float) -> datetime:
    """Return the time `seconds` from now."""
    return datetime.fromtimestamp(clock.now + seconds, UTC)


def job(company: str = "acme", **attributes: object) -> Job:
    return Job(uuid4(), company, **attributes)  # type: ignore[arg-type]  # keywords of a test


async def reserve(queue: Queue, max_jobs: int = 1000) -> list[Lease]:
    return (await queue.reserve(max_jobs)).leases


async def drain(queue: Queue, clock: FakeClock, *, per_second: int = 10) -> list[Lease]:
    """Reserve and acknowledge all jobs at a fixed rate: the queue measures that throughput."""
    done = []
    while leases := await reserve(queue, per_second):
        await queue.ack(leases)
        done += leases
        clock.advance(1)
    return done
