"""Composition root of the campaigns service: the only module that chooses adapters.

Modules that only the planner or the worker needs (Kafka, HTTP client) are imported when one of them is built:
the API process stays small.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from services.campaigns.adapters.postgres import PostgresUnitOfWorkFactory
from services.campaigns.commands import PlanNextChunk
from services.contracts.topics import MESSAGE_STATUS
from services.kit.auth import Tokens
from services.kit.database import open_database
from services.kit.health import Health
from services.kit.http import create_app
from services.kit.process import Parts
from services.kit.tasks import Task

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AsyncExitStack

    from fastapi import FastAPI

    from services.campaigns.ports import UnitOfWorkFactory
    from services.campaigns.settings import ApiSettings, PlannerSettings, WorkerSettings


STATUS_LINGER_SECONDS = 0.5
"""Status updates of this time form one batch, so that counts are updated once; it delays no message."""


async def build_api(settings: ApiSettings, stack: AsyncExitStack) -> Parts:
    """Build the API process on Postgres.

    Args:
        settings: settings of the process.
        stack: closes the opened resources at the end.

    Returns:
        The components of the process.
    """
    health = Health()
    database = await stack.enter_async_context(open_database(settings, settings))
    health.add("database", database.reason, shared=True)
    read_only = PostgresUnitOfWorkFactory(database, read_only=True)
    app = build_app(settings, health, PostgresUnitOfWorkFactory(database), read_only)
    return Parts(app, health)


def build_app(
    settings: ApiSettings,
    health: Health,
    uow_factory: UnitOfWorkFactory,
    read_only_uow_factory: UnitOfWorkFactory | None = None,
) -> FastAPI:
    """Build the HTTP application.

    Args:
        settings: settings of the process.
        health: answers the readiness probe.
        uow_factory: starts the transactions of requests that write.
        read_only_uow_factory: starts the transactions of requests that only read; `uow_factory` by default.

    Returns:
        The application.
    """
    from services.campaigns.api.routes import router  # noqa: PLC0415 - the worker has no routes

    tokens = Tokens(settings.token_key.get_secret_value())
    app = create_app("esq campaigns", health, routers=[router], tokens=tokens)
    app.state.uow_factory = uow_factory
    app.state.read_only_uow_factory = read_only_uow_factory or uow_factory
    return app


async def build_planner(settings: PlannerSettings, stack: AsyncExitStack) -> Parts:
    """Build the planner process: planner, scheduler and outbox relay.

    Args:
        settings: settings of the process.
        stack: closes the opened resources at the end.

    Returns:
        The components of the process.
    """
    from services.campaigns.adapters.contacts_client import open_contacts_client  # noqa: PLC0415 - see above
    from services.campaigns.jobs.background import Planner, Scheduler  # noqa: PLC0415 - see above
    from services.kit.kafka import open_publisher  # noqa: PLC0415 - see above
    from services.kit.outbox import Relay  # noqa: PLC0415 - see above

    health, tokens = Health(), Tokens(settings.token_key.get_secret_value())
    database = await stack.enter_async_context(open_database(settings, settings))
    publisher = await stack.enter_async_context(open_publisher(settings, settings))
    contacts = await stack.enter_async_context(open_contacts_client(settings, tokens))
    health.add("database", database.reason)
    uow_factory, relay = PostgresUnitOfWorkFactory(database), Relay(database, publisher)
    command = PlanNextChunk(settings.plan_chunk, settings.plan_lease_seconds)
    tasks = [
        Task("planner", Planner(command, uow_factory, contacts, relay.wake).run),
        Task("scheduler", Scheduler(uow_factory, partial(datetime.now, UTC)).run),
        Task("relay", relay.run),
    ]
    return Parts(create_app("esq campaigns planner", health), health, tasks)


async def build_worker(settings: WorkerSettings, stack: AsyncExitStack) -> Parts:
    """Build the worker process: consumer of status updates on Postgres and Kafka.

    Its events are published by the outbox relay of the planner.

    Args:
        settings: settings of the process.
        stack: closes the opened resources at the end.

    Returns:
        The components of the process.
    """
    from services.campaigns.consumers.status_updates import apply_status_updates  # noqa: PLC0415 - see above
    from services.kit.consumer import Consumer  # noqa: PLC0415 - see above
    from services.kit.inbox import InboxKeeper  # noqa: PLC0415 - see above
    from services.kit.kafka import open_publisher  # noqa: PLC0415 - see above
    from services.kit.lag import LagWatch  # noqa: PLC0415 - see above
    from services.kit.source import open_source  # noqa: PLC0415 - see above

    health = Health()
    database = await stack.enter_async_context(open_database(settings, settings))
    publisher = await stack.enter_async_context(open_publisher(settings, settings))
    source = await stack.enter_async_context(
        open_source(
            settings,
            settings,
            [MESSAGE_STATUS],
            together_seconds=STATUS_LINGER_SECONDS,
        )
    )
    health.add("database", database.reason)
    health.add("kafka", partial(_call_async, source.reason))
    handler = partial(apply_status_updates, uow_factory=PostgresUnitOfWorkFactory(database))
    tasks = [
        Task("consumer", Consumer(source, publisher, handler, batch=settings.kafka_batch).run),
        Task("lag", LagWatch(settings, settings, [MESSAGE_STATUS], source.written_at).run),
        Task("inbox keeper", InboxKeeper(database).run),
    ]
    return Parts(create_app("esq campaigns worker", health), health, tasks)


async def _call_async(check: Callable[[], str | None]) -> str | None:
    """Make a synchronous health check awaitable."""
    return check()
