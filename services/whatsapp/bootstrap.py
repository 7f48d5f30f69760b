"""Puts the processes together; the only place that picks adapters."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from services.contracts.topics import MESSAGE_REQUESTED
from services.kit.auth import Tokens
from services.kit.breaker import Breaker
from services.kit.client import open_client
from services.kit.consumer import Consumer
from services.kit.database import open_database
from services.kit.health import Health
from services.kit.http import create_app
from services.kit.inbox import InboxKeeper
from services.kit.kafka import open_publisher
from services.kit.lag import LagWatch
from services.kit.outbox import Relay
from services.kit.process import Parts
from services.kit.queue import admin
from services.kit.queue.metrics import QueueMetricsExporter
from services.kit.queue.redis_queue import RedisQueue
from services.kit.redis import open_redis
from services.kit.source import open_source
from services.kit.tasks import Task
from services.whatsapp.adapters import http, messages
from services.whatsapp.adapters.claims import PostgresClaims
from services.whatsapp.adapters.cloud_engine import CloudApiEngine
from services.whatsapp.adapters.due import PostgresDue
from services.whatsapp.adapters.guarded_engine import GuardedEngine
from services.whatsapp.adapters.turns import QueuedTurns, TurnSweep
from services.whatsapp.dispatcher import Dispatcher
from services.whatsapp.handlers import Callbacks, Keeper, Sweeper
from services.whatsapp.queues import DISPATCH, QUEUES
from services.whatsapp.replies import Replies
from services.whatsapp.requests import Requests

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from services.whatsapp.settings import ApiSettings, CallbacksSettings, DispatcherSettings, WorkerSettings

DAY_SECONDS = 86_400.0
NEWS_PAUSE_SECONDS = 2.0
"""News of messages gather so long before they are told: nothing is sent later for it."""


async def assemble_api(settings: ApiSettings, stack: AsyncExitStack) -> Parts:
    """Take connections, replies and callbacks; show the queues. Of these only the last ask Redis."""
    database = await stack.enter_async_context(open_database(settings, settings))
    redis = await stack.enter_async_context(open_redis(settings, settings))
    health = Health()
    health.add("database", database.reason, shared=True)
    app = create_app(
        "esq whatsapp",
        health,
        routers=[http.router, messages.router, admin.router],
        tokens=Tokens(settings.token_key.get_secret_value()),
        body_bytes={http.CALLBACK_PATH: http.CALLBACK_BYTES},
    )
    app.state.face = http.Face(
        database,
        settings.app_secret.get_secret_value().encode(),
        settings.verify_token.get_secret_value().encode(),
    )
    queues = {name: RedisQueue(redis, name, rules) for name, rules in QUEUES.items()}
    turns = QueuedTurns(queues[DISPATCH], Breaker("redis.turns"))
    app.state.replies = Replies(database, turns, settings.messages_per_second)
    app.state.queues = {str(name): queue for name, queue in queues.items()}
    watches = [Task(f"watch {name}", QueueMetricsExporter(queue).run) for name, queue in queues.items()]
    return Parts(app, health, watches)


async def assemble_worker(settings: WorkerSettings, stack: AsyncExitStack) -> Parts:
    """Take requests, sweep leases, give turns, relay events. None of it needs Redis."""
    database = await stack.enter_async_context(open_database(settings, settings))
    source = await stack.enter_async_context(open_source(settings, settings, [MESSAGE_REQUESTED]))
    publisher = await stack.enter_async_context(open_publisher(settings, settings))
    redis = await stack.enter_async_context(open_redis(settings, settings))
    turns = QueuedTurns(RedisQueue(redis, DISPATCH, QUEUES[DISPATCH]), Breaker("redis.turns"))

    async def kafka() -> str | None:
        return source.reason()

    health = Health()
    health.add("database", database.reason)
    health.add("kafka", kafka)
    consumer = Consumer(source, publisher, Requests(database, turns).handle, batch=settings.kafka_batch)
    tasks = (
        Task("requests", consumer.run),
        Task("lag", LagWatch(settings, settings, [MESSAGE_REQUESTED], source.written_at).run),
        Task("turns", TurnSweep(PostgresDue(database), turns).run),
        Task("sweep", Sweeper(database, every_seconds=settings.sweep_seconds).run),
        Task("relay", Relay(database, publisher, pause=NEWS_PAUSE_SECONDS).run),
        Task("inbox", InboxKeeper(database).run),
    )
    return Parts(create_app("esq whatsapp worker", health), health, tasks)


async def assemble_callbacks(settings: CallbacksSettings, stack: AsyncExitStack) -> Parts:
    """Work on callbacks, so that a flood of them holds up nothing else; what they tell, the worker relays."""
    database = await stack.enter_async_context(open_database(settings, settings))
    health = Health()
    health.add("database", database.reason)
    keeper = Keeper(database, keep_seconds=settings.callback_keep_days * DAY_SECONDS)
    tasks = (Task("callbacks", Callbacks(database).run), Task("keeper", keeper.run))
    return Parts(create_app("esq whatsapp callbacks", health), health, tasks)


async def assemble_dispatcher(settings: DispatcherSettings, stack: AsyncExitStack) -> Parts:
    """Claim messages and send them; without Redis all the same."""
    database = await stack.enter_async_context(open_database(settings, settings))
    redis = await stack.enter_async_context(open_redis(settings, settings))
    client = await stack.enter_async_context(
        open_client(settings, seconds=settings.attempt_seconds, connections=settings.concurrency)
    )
    health = Health()
    health.add("database", database.reason)
    engine = CloudApiEngine(
        client,
        f"{str(settings.cloud_api_url).rstrip('/')}/{settings.cloud_api_version}",
        settings.cloud_api_token.get_secret_value(),
    )
    # The draws only spread retries over time; nothing secret hangs on them.
    breaker = Breaker("cloud-api.send", most=settings.concurrency)
    queue = RedisQueue(redis, DISPATCH, QUEUES[DISPATCH])
    dispatcher = Dispatcher(
        PostgresClaims(database, settings),
        QueuedTurns(queue, Breaker("redis.turns"), PostgresDue(database)),
        GuardedEngine(engine, breaker),
        settings,
        Random(),  # noqa: S311 - see above
        room=breaker.room,
    )
    tasks = (Task("dispatch", dispatcher.run), Task("results", dispatcher.settle))
    return Parts(create_app("esq whatsapp dispatcher", health), health, tasks)
