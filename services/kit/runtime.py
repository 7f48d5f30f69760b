"""Runtime of a service process: HTTP server and background tasks, from start to clean shutdown."""

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

from services.kit.background_tasks import BackgroundTask, supervise
from services.kit.observability import json_logging
from services.kit.observability.certificates import export_certificate_expiry
from services.kit.settings import ProcessSettings, SettingsError, load

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from starlette.types import ASGIApp

    from services.kit.observability.health import Health

EXIT_INVALID_SETTINGS = 2
GC_THRESHOLD = 10_000
"""Allocations between two collections. At the default of 700 a collection scans the requests in flight and
finds almost no cycles, which costs a tenth of the CPU time of a process that calls others
(benchmarks/collector.py)."""
log = logging.getLogger(__name__)
Settings = TypeVar("Settings", bound=ProcessSettings)


@dataclass(frozen=True)
class ServiceComponents:
    """Components of a process, as its bootstrap built them.

    Attributes:
        app: the HTTP application.
        health: health checks that readiness reports.
        tasks: background tasks.
    """

    app: ASGIApp
    health: Health
    tasks: Sequence[BackgroundTask] = field(default=())


def run_service(
    settings_class: type[Settings],
    build: Callable[[Settings, AsyncExitStack], Awaitable[ServiceComponents]],
) -> None:
    """Run a process until SIGTERM or SIGINT.

    Args:
        settings_class: settings to read from the environment variables.
        build: builds the components; resources that it opens on the stack are closed at shutdown.

    Raises:
        SystemExit: the settings are invalid; the exit code is 2.
    """
    try:
        settings = load(settings_class)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(EXIT_INVALID_SETTINGS) from None
    json_logging.configure(settings.service, settings.log_level)
    export_certificate_expiry(settings)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(settings, build))


async def _run(
    settings: Settings, build: Callable[[Settings, AsyncExitStack], Awaitable[ServiceComponents]]
) -> None:
    """Build the components, serve, and close them."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        _export_spans(settings, stack)
        components = await build(settings, stack)
        gc.freeze()  # objects allocated so far are permanent: exclude them from later collections
        gc.set_threshold(GC_THRESHOLD)
        await serve_until_stopped(settings, components, stop)


def _export_spans(settings: ProcessSettings, stack: AsyncExitStack) -> None:
    """Export spans if a collector is set, until the stack is closed."""
    if settings.traces_endpoint is not None:
        from services.kit.observability.span_export import start_export  # noqa: PLC0415 - loads the SDK

        stack.callback(start_export(settings))


async def serve_until_stopped(
    settings: ProcessSettings, components: ServiceComponents, stop: asyncio.Event
) -> None:
    """Serve until `stop` is set, then drain: not ready but answering, no new requests, then cancelled.

    Args:
        settings: listen address, certificates and shutdown times.
        components: components to run.
        stop: set when the process stops.
    """
    server = _Server(_uvicorn_config(settings, components.app))
    serving = asyncio.create_task(server.serve(), name="http")
    stop_tasks = asyncio.Event()
    tasks = [
        asyncio.create_task(supervise(task, stop_tasks, components.health), name=task.name)
        for task in components.tasks
    ]
    log.info("Started", extra={"action": "start", "environment": settings.environment, "port": settings.port})
    stopped = asyncio.create_task(stop.wait(), name="stop")
    await asyncio.wait({stopped, serving}, return_when=asyncio.FIRST_COMPLETED)
    log.info("Stopping", extra={"action": "stop"})
    components.health.is_stopping = True
    stop_tasks.set()
    if not serving.done():
        await asyncio.sleep(settings.grace_seconds)
    server.should_exit = True
    await _drain([serving, *tasks], settings.drain_seconds)
    stopped.cancel()
    log.info("Stopped", extra={"action": "stop"})


async def _drain(tasks: Sequence[asyncio.Task[None]], seconds: float) -> None:
    """Wait for the tasks; cancel those that do not end in time."""
    _, pending = await asyncio.wait(tasks, timeout=seconds)
    for task in pending:
        log.warning("Task %s did not end within %.0f s", task.get_name(), seconds, extra={"action": "stop"})
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _uvicorn_config(settings: ProcessSettings, app: ASGIApp) -> uvicorn.Config:
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
    """Leaves signals to `_run`, which drains tasks as well as requests."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture no signals."""
        yield
