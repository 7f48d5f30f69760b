"""Supervised background tasks: named, restarted after a failure, and reported by readiness while down."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.contracts import telemetry
from services.kit.errors import TemporaryError
from services.kit.observability.metrics import counter
from services.kit.retry import backoff_seconds, sleep_unless_stopped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from services.kit.observability.health import Health

BACKOFF_RESET_SECONDS = 30.0
"""A task that ran longer than this has recovered: its next failure counts as the first."""
FAILURES = counter(telemetry.TASK_FAILURES)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BackgroundTask:
    """A task that runs as long as the process.

    Attributes:
        name: name in logs and readiness.
        run: runs until the event is set; any other end is a failure.
    """

    name: str
    run: Callable[[asyncio.Event], Awaitable[None]]


async def supervise(task: BackgroundTask, stop: asyncio.Event, health: Health) -> None:
    """Run the task until the process stops; restart it with exponential backoff.

    Args:
        task: task to run.
        stop: set when the process stops.
        health: receives the problem while the task is down.
    """
    failures = 0
    while not stop.is_set():
        started_at = asyncio.get_running_loop().time()
        failure = await _run_once(task, stop)
        if failure is None:
            return
        FAILURES.labels(task.name).inc()
        recovered = asyncio.get_running_loop().time() - started_at > BACKOFF_RESET_SECONDS
        failures = 1 if recovered else failures + 1
        health.set_problem(task.name, f"{task.name} is down: {failure}")
        if await sleep_unless_stopped(stop, backoff_seconds(failures + 1)):
            return
        health.set_problem(task.name, None)


async def _run_once(task: BackgroundTask, stop: asyncio.Event) -> str | None:
    """Run the task; return the failure when it ended before `stop` was set, else None."""
    extra = {"action": "run_task", "task": task.name}
    try:
        await task.run(stop)
    except TemporaryError as error:
        log.warning("Task %s will be restarted: %s", task.name, error, extra=extra)
        return str(error)
    except Exception as error:
        log.exception("Task %s failed", task.name, extra=extra)
        return type(error).__name__
    if stop.is_set():
        return None
    log.error("Task %s returned before the process stopped", task.name, extra=extra)
    return "it returned before the process stopped"
