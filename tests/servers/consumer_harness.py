"""A consumer of the kit on a real broker, and a handler that can fail on demand."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from services.contracts.topics import MESSAGE_STATUS
from services.contracts.v1 import events_pb2 as v1
from services.kit.kafka.client import open_publisher
from services.kit.kafka.consumer import EventConsumer
from services.kit.kafka.consumer_lag import ConsumerLagMonitor
from services.kit.kafka.envelope import InboundEvent, OutboundEvent
from services.kit.kafka.kafka_consumer import open_kafka_consumer
from services.kit.observability import tracing
from services.kit.postgres.inbox import PostgresInbox
from services.kit.settings import ProcessSettings
from tests.servers.event_batches import flatten, statuses_updated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from services.kit.kafka.consumer import Handler
    from services.kit.kafka.failed_records import RetryPolicy
    from services.kit.postgres.database import Database
    from tests.servers.kafka import Kafka

PROCESS = ProcessSettings(service="campaigns")


def numbered_event(key: str, number: int) -> OutboundEvent:
    """Return an event that contains its position among the events of its key.

    Args:
        key: of the event; also the message id.
        number: its position.
    """
    accepted = v1.MessageAccepted(message_id=key, provider_id=str(number))
    return OutboundEvent.create(MESSAGE_STATUS, key, "acme", statuses_updated(accepted))


@asynccontextmanager
async def run_consumer(
    kafka: Kafka, handler: Handler, budget: RetryPolicy | None = None
) -> AsyncIterator[None]:
    """Consume `message.status` as the campaigns service for the duration of the block.

    Args:
        kafka: the broker.
        handler: of the events.
        budget: retry policy; the default when None.
    """
    settings = kafka.settings(PROCESS.service)
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(open_kafka_consumer(PROCESS, settings, [MESSAGE_STATUS]))
        publisher = await stack.enter_async_context(open_publisher(PROCESS, settings))
        consumer = EventConsumer(source, publisher, handler, batch_size=100, retry_policy=budget)
        lag = ConsumerLagMonitor(PROCESS, settings, [MESSAGE_STATUS], source.batch_timestamps)
        tasks = [asyncio.create_task(consumer.run(stop)), asyncio.create_task(lag.run(stop))]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)


async def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until the condition holds.

    Args:
        condition: polled.
        seconds: timeout.
    """
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)


class RecordingHandler:
    """A handler that stores inbox and effect in one transaction and can fail on demand.

    Attributes:
        handled: message id and number of handled events, in order.
        traces: trace id of each batch.
        errors: raised once each, last first.
        poison: messages that always fail.
        attempts: times at which such an event was handled in a batch of its own: two per attempt.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.handled: list[tuple[str, int]] = []
        self.traces: list[str] = []
        self.errors: list[Exception] = []
        self.poison: set[str] = set()
        self.attempts: list[float] = []

    async def __call__(self, events: Sequence[InboundEvent]) -> None:
        """Handle a batch."""
        if self.errors:
            raise self.errors.pop()
        async with self.database.transaction() as transaction:
            fresh = await PostgresInbox(transaction).filter_new(events)
            updates = flatten(inbound.event for inbound in fresh)
            if any(update.message_id in self.poison for update in updates):
                self.attempts += [time.monotonic()] if len(fresh) == 1 else []
                raise LookupError("poison event")
            await transaction.commit()
        self.traces.append(tracing.current_trace_id())
        self.handled += [(update.message_id, int(update.provider_id)) for update in updates]
