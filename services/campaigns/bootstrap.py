"""Puts the service's processes together: the only place that chooses adapters.

What only planner and worker need (Kafka, the HTTP client) is imported when one of them is put together: the
API stays small.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from services.campaigns.adapters.postgres import PostgresUnits
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

    from services.campaigns.ports import Units
    from services.campaigns.settings import ApiSettings, PlannerSettings, WorkerSettings


NEWS_TOGETHER_SECONDS = 0.5
"""News that come within this are one batch: counts are changed once for many; nothing is sent later."""


async def assemble_api(settings: ApiSettings, stack: AsyncExitStack) -> Parts:
    """Build the API on Postgres."""
    health = Health()
    database = await stack.enter_async_context(open_database(settings, settings))
    health.add("database", database.reason, shared=True)
    reading = PostgresUnits(database, reading=True)
    return Parts(build_app(settings, health, PostgresUnits(database), reading), health)


def build_app(settings: ApiSettings, health: Health, units: Units, reading: Units | None = None) -> FastAPI:
    """Build the HTTP face on any store; `reading` is for what writes nothing, `units` when not given."""
    from services.campaigns.entrypoints.routes import router  # noqa: PLC0415 - the worker has no addresses

    tokens = Tokens(settings.token_key.get_secret_value())
    app = create_app("esq campaigns", health, routers=[router], tokens=tokens)
    app.state.units = units
    app.state.reading = reading or units
    return app


async def assemble_planner(settings: PlannerSettings, stack: AsyncExitStack) -> Parts:
    """Build planner, scheduler and relay on Postgres, Kafka and the contacts service."""
    from services.campaigns.adapters.contacts import open_contact_pages  # noqa: PLC0415 - see above
    from services.campaigns.planner import Planner, Scheduler  # noqa: PLC0415
    from services.kit.kafka import open_publisher  # noqa: PLC0415
    from services.kit.outbox import Relay  # noqa: PLC0415

    health, tokens = Health(), Tokens(settings.token_key.get_secret_value())
    database = await stack.enter_async_context(open_database(settings, settings))
    publisher = await stack.enter_async_context(open_publisher(settings, settings))
    contacts = await stack.enter_async_context(open_contact_pages(settings, tokens))
    health.add("database", database.reason)
    units, relay = PostgresUnits(database), Relay(database, publisher)
    planner = Planner(
        PlanNextChunk(settings.plan_chunk, settings.plan_lease_seconds), units, contacts, relay.wake
    )
    tasks = [
        Task("planner", planner.run),
        Task("scheduler", Scheduler(units, partial(datetime.now, UTC)).run),
        Task("relay", relay.run),
    ]
    return Parts(create_app("esq campaigns planner", health), health, tasks)


async def assemble_worker(settings: WorkerSettings, stack: AsyncExitStack) -> Parts:
    """Build the consumer of news on Postgres and Kafka; what it tells, the planner's relay sends."""
    from services.campaigns.news import apply_news  # noqa: PLC0415 - see above
    from services.kit.consumer import Consumer  # noqa: PLC0415
    from services.kit.inbox import InboxKeeper  # noqa: PLC0415
    from services.kit.kafka import open_publisher  # noqa: PLC0415
    from services.kit.lag import LagWatch  # noqa: PLC0415
    from services.kit.source import open_source  # noqa: PLC0415

    health = Health()
    database = await stack.enter_async_context(open_database(settings, settings))
    publisher = await stack.enter_async_context(open_publisher(settings, settings))
    source = await stack.enter_async_context(
        open_source(
            settings,
            settings,
            [MESSAGE_STATUS],
            together_seconds=NEWS_TOGETHER_SECONDS,
        )
    )
    health.add("database", database.reason)
    health.add("kafka", partial(_answer, source.reason))
    news = partial(apply_news, units=PostgresUnits(database))
    tasks = [
        Task("consumer", Consumer(source, publisher, news, batch=settings.kafka_batch).run),
        Task("lag", LagWatch(settings, settings, [MESSAGE_STATUS], source.written_at).run),
        Task("inbox keeper", InboxKeeper(database).run),
    ]
    return Parts(create_app("esq campaigns worker", health), health, tasks)


async def _answer(ask: Callable[[], str | None]) -> str | None:
    """Let a question that is answered at once be asked like the others."""
    return ask()
