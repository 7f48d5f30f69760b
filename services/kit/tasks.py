"""Background tasks: named, started again when they end unexpectedly, and told by readiness while down."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.kit.errors import TemporaryError
from services.kit.retry import pause_before, wait_or_stop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from services.kit.health import Health

SETTLED_SECONDS = 30.0
"""A task that ran for so long has recovered: the next failure counts as its first."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """Something that runs as long as the process does.

    Attributes:
        name: in logs and readiness.
        run: works until the event is set; whatever else ends it is a failure.
    """

    name: str
    run: Callable[[asyncio.Event], Awaitable[None]]


async def guard(task: Task, stop: asyncio.Event, health: Health) -> None:
    """Run the task until the process stops, starting it again with growing pauses."""
    failures = 0
    while not stop.is_set():
        began = asyncio.get_running_loop().time()
        failure = await _run_once(task, stop)
        if failure is None:
            return
        settled = asyncio.get_running_loop().time() - began > SETTLED_SECONDS
        failures = 1 if settled else failures + 1
        health.trouble(task.name, f"{task.name} is down: {failure}")
        if await wait_or_stop(stop, pause_before(failures + 1)):
            return
        health.trouble(task.name, None)


async def _run_once(task: Task, stop: asyncio.Event) -> str | None:
    """Run it; return why it ended although nobody asked, or None."""
    extra = {"action": "task", "task": task.name}
    try:
        await task.run(stop)
    except TemporaryError as error:
        log.warning("Task %s waits: %s", task.name, error, extra=extra)
        return str(error)
    except Exception as error:
        log.exception("Task %s failed", task.name, extra=extra)
        return type(error).__name__
    if stop.is_set():
        return None
    log.error("Task %s ended by itself", task.name, extra=extra)
    return "it ended by itself"
