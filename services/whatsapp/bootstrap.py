"""Composition of the processes; the only place that chooses adapters."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from services.contracts.topics import MESSAGE_REQUESTED
from services.kit.background_tasks import BackgroundTask
from services.kit.circuit_breaker import CircuitBreaker
from services.kit.http.app import create_app
from services.kit.http.auth import JwtTokens
from services.kit.http.client import open_http_client
from services.kit.kafka.client import open_publisher
from services.kit.kafka.consumer import EventConsumer
from services.kit.kafka.consumer_lag import ConsumerLagMonitor
from services.kit.kafka.dead_letter_route import dead_letter_router
from services.kit.kafka.kafka_consumer import open_kafka_consumer
from services.kit.observability.health import Health
from services.kit.observability.measurements import PeriodicMeasurement
from services.kit.postgres.database import open_database
from services.kit.postgres.inbox import InboxPurger
from services.kit.postgres.outbox import OutboxRelay
from services.kit.queue import admin
from services.kit.queue.metrics import QueueMetricsExporter
from services.kit.queue.redis_queue import RedisQueue
from services.kit.redis.client import open_redis
from services.kit.runtime import ServiceComponents
from services.kit.settings import secret_values
from services.whatsapp.adapters.circuit_breaker_sender import CircuitBreakerSender
from services.whatsapp.adapters.cloud_api_sender import CloudApiSender
from services.whatsapp.adapters.message_leases import PostgresMessageLeases
from services.whatsapp.adapters.postgres import PostgresUnitOfWorkFactory
from services.whatsapp.adapters.ready_connections import PostgresReadyConnections
from services.whatsapp.adapters.ready_queue import DISPATCH, QUEUES, RedisReadyQueue
from services.whatsapp.adapters.sending_statistics import PostgresSendingStatistics
from services.whatsapp.api import routes_connections, routes_replies, routes_webhooks
from services.whatsapp.api.dependencies import ApiDependencies
from services.whatsapp.api.routes_webhooks import MAX_WEBHOOK_BYTES, WEBHOOK_PATH
from services.whatsapp.consumers.send_requests import SendRequestHandler
from services.whatsapp.jobs.dispatcher import Dispatcher
from services.whatsapp.jobs.purger import Purger
from services.whatsapp.jobs.ready_queue_reconciler import ReadyQueueReconciler
from services.whatsapp.jobs.sending_gauges import SendingGauges
from services.whatsapp.jobs.sweeper import Sweeper
from services.whatsapp.jobs.webhook_processor import WebhookProcessor

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from services.whatsapp.settings import (
        ApiSettings,
        DispatcherSettings,
        WebhookProcessorSettings,
        WorkerSettings,
    )

DAY_SECONDS = 86_400.0
STATUS_RELAY_INTERVAL_SECONDS = 2.0
"""Status updates gather for this long before they are published; no message is sent later because of it."""
REDIS_OPERATION = "redis.ready-queue"
"""Name of the circuit breaker of the ready queue."""


async def build_api(settings: ApiSettings, stack: AsyncExitStack) -> ServiceComponents:
    """Build the API of connections, replies, webhooks and queues. Only the routes of queues need Redis.

    Args:
        settings: settings of the process.
        stack: closes what is opened here.

    Returns:
        The application, its health checks and its background tasks.
    """
    database = await stack.enter_async_context(open_database(settings, settings))
    redis_client = await stack.enter_async_context(open_redis(settings, settings))
    health = Health()
    health.add("database", database.readiness_problem, shared=True)
    app = create_app(
        "esq whatsapp",
        health,
        routers=[routes_connections.router, routes_webhooks.router, routes_replies.router, admin.router],
        tokens=JwtTokens(*secret_values(settings.token_keys)),
        max_body_bytes={WEBHOOK_PATH: MAX_WEBHOOK_BYTES},
    )
    queues = {name: RedisQueue(redis_client, name, config) for name, config in QUEUES.items()}
    app.state.dependencies = ApiDependencies(
        uow_factory=PostgresUnitOfWorkFactory(database),
        read_only_uow_factory=PostgresUnitOfWorkFactory(database, read_only=True),
        ready_queue=RedisReadyQueue(queues[DISPATCH], CircuitBreaker(REDIS_OPERATION)),
        default_rate=settings.messages_per_second,
        app_secrets=tuple(secret.encode() for secret in secret_values(settings.app_secrets)),
        verify_tokens=tuple(token.encode() for token in secret_values(settings.verify_tokens)),
    )
    app.state.queues = {str(name): queue for name, queue in queues.items()}
    exporters = [
        BackgroundTask(f"metrics of {name}", QueueMetricsExporter(queue).run)
        for name, queue in queues.items()
    ]
    return ServiceComponents(app, health, exporters)


async def build_worker(settings: WorkerSettings, stack: AsyncExitStack) -> ServiceComponents:
    """Build the worker: send requests, sweeper, ready queue reconciler, outbox relay. It runs without Redis.

    Args:
        settings: settings of the process.
        stack: closes what is opened here.

    Returns:
        The application, its health checks and its background tasks.
    """
    database = await stack.enter_async_context(open_database(settings, settings))
    kafka_consumer = await stack.enter_async_context(
        open_kafka_consumer(settings, settings, [MESSAGE_REQUESTED])
    )
    publisher = await stack.enter_async_context(open_publisher(settings, settings))
    redis_client = await stack.enter_async_context(open_redis(settings, settings))
    uow_factory = PostgresUnitOfWorkFactory(database)
    queue = RedisQueue(redis_client, DISPATCH, QUEUES[DISPATCH])
    ready_queue = RedisReadyQueue(queue, CircuitBreaker(REDIS_OPERATION))

    async def kafka_problem() -> str | None:
        return kafka_consumer.readiness_problem()

    health = Health()
    health.add("database", database.readiness_problem)
    health.add("kafka", kafka_problem)
    consumer = EventConsumer(
        kafka_consumer,
        publisher,
        SendRequestHandler(uow_factory, ready_queue).handle,
        batch_size=settings.kafka_batch_size,
    )
    lag_monitor = ConsumerLagMonitor(settings, settings, [MESSAGE_REQUESTED], kafka_consumer.batch_timestamps)
    reconciler = ReadyQueueReconciler(PostgresReadyConnections(database), ready_queue)
    sweeper = Sweeper(uow_factory, interval_seconds=settings.sweep_interval_seconds)
    relay = OutboxRelay(database, publisher, poll_interval_seconds=STATUS_RELAY_INTERVAL_SECONDS)
    gauges = SendingGauges(PostgresSendingStatistics(database))
    tasks = (
        BackgroundTask("send requests", consumer.run),
        BackgroundTask("consumer lag", lag_monitor.run),
        BackgroundTask("ready queue reconciler", reconciler.run),
        BackgroundTask("sweeper", sweeper.run),
        BackgroundTask("outbox relay", relay.run),
        BackgroundTask("inbox purger", InboxPurger(database).run),
        BackgroundTask("gauges", PeriodicMeasurement(gauges.measure).run),
    )
    app = create_app("esq whatsapp worker", health, routers=[dead_letter_router(settings, settings)])
    return ServiceComponents(app, health, tasks)


async def build_webhook_processor(
    settings: WebhookProcessorSettings, stack: AsyncExitStack
) -> ServiceComponents:
    """Build the webhook processor, a process of its own, so that a burst of webhooks delays nothing else.

    The worker publishes its events.

    Args:
        settings: settings of the process.
        stack: closes what is opened here.

    Returns:
        The application, its health checks and its background tasks.
    """
    database = await stack.enter_async_context(open_database(settings, settings))
    uow_factory = PostgresUnitOfWorkFactory(database)
    health = Health()
    health.add("database", database.readiness_problem)
    retention_seconds = settings.webhook_retention_days * DAY_SECONDS
    purger = Purger(uow_factory, webhook_retention_seconds=retention_seconds)
    processor = WebhookProcessor(uow_factory)
    tasks = (
        BackgroundTask("webhook processor", processor.run),
        BackgroundTask("gauges", PeriodicMeasurement(processor.measure).run),
        BackgroundTask("purger", purger.run),
    )
    return ServiceComponents(create_app("esq whatsapp webhooks", health), health, tasks)


async def build_dispatcher(settings: DispatcherSettings, stack: AsyncExitStack) -> ServiceComponents:
    """Build the dispatcher. It sends without Redis too.

    Args:
        settings: settings of the process.
        stack: closes what is opened here.

    Returns:
        The application, its health checks and its background tasks.
    """
    database = await stack.enter_async_context(open_database(settings, settings))
    redis_client = await stack.enter_async_context(open_redis(settings, settings))
    client = await stack.enter_async_context(
        open_http_client(
            settings,
            timeout_seconds=settings.attempt_timeout_seconds,
            max_connections=settings.concurrency,
        )
    )
    health = Health()
    health.add("database", database.readiness_problem)
    sender = CloudApiSender(
        client,
        f"{str(settings.cloud_api_url).rstrip('/')}/{settings.cloud_api_version}",
        secret_values(settings.cloud_api_tokens)[0],
    )
    breaker = CircuitBreaker("cloud-api.send", max_concurrent=settings.concurrency)
    queue = RedisQueue(redis_client, DISPATCH, QUEUES[DISPATCH])
    dispatcher = Dispatcher(
        PostgresMessageLeases(database, settings),
        RedisReadyQueue(queue, CircuitBreaker(REDIS_OPERATION), PostgresReadyConnections(database)),
        CircuitBreakerSender(sender, breaker),
        settings,
        Random(),  # noqa: S311 - only spreads retries over time
        permits=breaker.permits,
    )
    tasks = (
        BackgroundTask("dispatcher", dispatcher.run),
        BackgroundTask("result writer", dispatcher.write_results),
    )
    return ServiceComponents(create_app("esq whatsapp dispatcher", health), health, tasks)
