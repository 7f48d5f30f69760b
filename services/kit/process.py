"""A service process: an HTTP face and background tasks, from the first log line to an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import uvicorn
import uvloop

from services.kit import logs
from services.kit.settings import ProcessSettings, SettingsError, load
from services.kit.tasks import Task, guard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from starlette.types import ASGIApp

    from services.kit.health import Health

WRONG_SETTINGS = 2
YOUNG_OBJECTS = 10_000
"""Objects between two collections. Every 700, as is usual, a collection looks through the requests under way
and finds hardly a cycle: a tenth of the time of a process that calls (benchmarks/collector.py)."""
log = logging.getLogger(__name__)
Kind = TypeVar("Kind", bound=ProcessSettings)


@dataclass(frozen=True)
class Parts:
    """What a process consists of, as its bootstrap put it together.

    Attributes:
        app: the HTTP face.
        health: what readiness asks.
        tasks: what runs beside it.
    """

    app: ASGIApp
    health: Health
    tasks: Sequence[Task] = field(default=())


def launch(kind: type[Kind], assemble: Callable[[Kind, AsyncExitStack], Awaitable[Parts]]) -> None:
    """Run a process until SIGTERM or SIGINT; what `assemble` opens on the stack is closed at the end.

    Ends the interpreter with code 2 when the settings are wrong.
    """
    try:
        settings = load(kind)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(WRONG_SETTINGS) from None
    logs.configure(settings.service, settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_live(settings, assemble))


async def _live(settings: Kind, assemble: Callable[[Kind, AsyncExitStack], Awaitable[Parts]]) -> None:
    """Assemble, serve, and close."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        parts = await assemble(settings, stack)
        gc.freeze()  # what is here now stays: no collection has to look through it again
        gc.set_threshold(YOUNG_OBJECTS)
        await serve(settings, parts, stop)


async def serve(settings: ProcessSettings, parts: Parts, stop: asyncio.Event) -> None:
    """Serve until `stop`, then drain: not ready, still answering; then no new requests; then cancelled."""
    server = _Server(_uvicorn(settings, parts.app))
    serving = asyncio.create_task(server.serve(), name="http")
    ending = asyncio.Event()
    tasks = [asyncio.create_task(guard(task, ending, parts.health), name=task.name) for task in parts.tasks]
    log.info("Started", extra={"action": "start", "environment": settings.environment, "port": settings.port})
    stopped = asyncio.create_task(stop.wait(), name="stop")
    await asyncio.wait({stopped, serving}, return_when=asyncio.FIRST_COMPLETED)
    log.info("Stopping", extra={"action": "stop"})
    parts.health.trouble("process", "the process is stopping")
    ending.set()
    if not serving.done():
        await asyncio.sleep(settings.grace_seconds)
    server.should_exit = True
    await _drain([serving, *tasks], settings.drain_seconds)
    stopped.cancel()
    log.info("Stopped", extra={"action": "stop"})


async def _drain(tasks: Sequence[asyncio.Task[None]], seconds: float) -> None:
    """Let the tasks end; cancel those that do not in time."""
    _, late = await asyncio.wait(tasks, timeout=seconds)
    for task in late:
        log.warning("Task %s did not end in %.0f s", task.get_name(), seconds, extra={"action": "stop"})
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _uvicorn(settings: ProcessSettings, app: ASGIApp) -> uvicorn.Config:
    """Configure the server: TLS when files are set, no access log, a deadline for open requests."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=str(settings.tls_key) if settings.tls_key else None,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, int(settings.drain_seconds) - 1),
        backlog=512,
    )


class _Server(uvicorn.Server):
    """Leaves signals to `_live`, which drains tasks as well as requests."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield
