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
from services.kit.background_tasks import BackgroundTask
from services.kit.http.app import create_app
from services.kit.http.auth import JwtTokens
from services.kit.observability.health import Health
from services.kit.observability.measurements import PeriodicMeasurement
from services.kit.postgres.database import open_database
from services.kit.runtime import ServiceComponents
from services.kit.settings import secret_values

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AsyncExitStack

    from fastapi import FastAPI

    from services.campaigns.ports import UnitOfWorkFactory
    from services.campaigns.settings import ApiSettings, PlannerSettings, WorkerSettings


STATUS_LINGER_SECONDS = 0.5
"""Status updates of this time form one batch, so that counts are updated once; it delays no message."""


async def build_api(settings: ApiSettings, stack: AsyncExitStack) -> ServiceComponents:
    """Build the API process on Postgres.

    Args:
        settings: settings of the process.
        stack: closes the opened resources at the end.

    Returns:
        The components of the process.
    """
    health = Health()
    database = await stack.enter_async_context(open_database(settings, settings))
    health.add("database", database.readiness_problem, shared=True)
    read_only = PostgresUnitOfWorkFactory(database, read_only=True)
    app = build_app(settings, health, PostgresUnitOfWorkFactory(database), read_only)
    return ServiceComponents(app, health)


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

    tokens = JwtTokens(*secret_values(settings.token_keys))
    app = create_app("esq campaigns", health, routers=[router], tokens=tokens)
    app.state.uow_factory = uow_factory
    app.state.read_only_uow_factory = read_only_uow_factory or uow_factory
    return app


async def build_planner(settings: PlannerSettings, stack: AsyncExitStack) -> ServiceComponents:
    """Build the planner process: planner, scheduler and outbox relay.

    Args:
        settings: settings of the process.
        stack: closes the opened resources at the end.

    Returns:
        The components of the process.
    """
    from services.campaigns.adapters.contacts_client import open_contacts_client  # noqa: PLC0415 - see above
    from services.campaigns.jobs.background import Planner, Scheduler  # noqa: PLC0415 - see above
    from services.kit.kafka.client import open_publisher  # noqa: PLC0415 - see above
    from services.kit.postgres.outbox import OutboxRelay  # noqa: PLC0415 - see above

    health, tokens = Health(), JwtTokens(*secret_values(settings.token_keys))
    database = await stack.enter_async_context(open_database(settings, settings))
    publisher = await stack.enter_async_context(open_publisher(settings, settings))
    contacts = await stack.enter_async_context(open_contacts_client(settings, tokens))
    health.add("database", database.readiness_problem)
    uow_factory, relay = PostgresUnitOfWorkFactory(database), OutboxRelay(database, publisher)
    command = PlanNextChunk(settings.plan_chunk, settings.plan_lease_seconds)
    planner = Planner(command, uow_factory, contacts, relay.notify)
    tasks = [
        BackgroundTask("planner", planner.run),
        BackgroundTask("gauges", PeriodicMeasurement(planner.measure).run),
        BackgroundTask("scheduler", Scheduler(uow_factory, partial(datetime.now, UTC)).run),
        BackgroundTask("relay", relay.run),
    ]
    return ServiceComponents(create_app("esq campaigns planner", health), health, tasks)


async def build_worker(settings: WorkerSettings, stack: AsyncExitStack) -> ServiceComponents:
    """Build the worker process: consumer of status updates on Postgres and Kafka.

    Its events are published by the outbox relay of the planner.

    Args:
        settings: settings of the process.
        stack: closes the opened resources at the end.

    Returns:
        The components of the process.
    """
    from services.campaigns.consumers.status_updates import apply_status_updates  # noqa: PLC0415 - see above
    from services.kit.kafka.client import open_publisher  # noqa: PLC0415 - see above
    from services.kit.kafka.consumer import EventConsumer  # noqa: PLC0415 - see above
    from services.kit.kafka.consumer_lag import ConsumerLagMonitor  # noqa: PLC0415 - see above
    from services.kit.kafka.dead_letter_route import dead_letter_router  # noqa: PLC0415 - see above
    from services.kit.kafka.kafka_consumer import open_kafka_consumer  # noqa: PLC0415 - see above
    from services.kit.postgres.inbox import InboxPurger  # noqa: PLC0415 - see above

    health = Health()
    database = await stack.enter_async_context(open_database(settings, settings))
    publisher = await stack.enter_async_context(open_publisher(settings, settings))
    source = await stack.enter_async_context(
        open_kafka_consumer(
            settings,
            settings,
            [MESSAGE_STATUS],
            linger_seconds=STATUS_LINGER_SECONDS,
        )
    )
    health.add("database", database.readiness_problem)
    health.add("kafka", partial(_call_async, source.readiness_problem))
    handler = partial(apply_status_updates, uow_factory=PostgresUnitOfWorkFactory(database))
    tasks = [
        BackgroundTask(
            "consumer", EventConsumer(source, publisher, handler, batch_size=settings.kafka_batch_size).run
        ),
        BackgroundTask(
            "lag", ConsumerLagMonitor(settings, settings, [MESSAGE_STATUS], source.batch_timestamps).run
        ),
        BackgroundTask("inbox purger", InboxPurger(database).run),
    ]
    app = create_app("esq campaigns worker", health, routers=[dead_letter_router(settings, settings)])
    return ServiceComponents(app, health, tasks)


async def _call_async(check: Callable[[], str | None]) -> str | None:
    """Make a synchronous health check awaitable."""
    return check()
