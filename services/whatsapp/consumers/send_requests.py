"""Consumer of send requests and of stopped campaign runs. A batch and its inbox are one transaction.

A request is answered at once when its message has left the queue, or when its run is halted: a requester that
repeats a request never waits forever. Messages that are leased or sent never change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from services.contracts.v1.events_pb2 import CampaignRunStopped, MessagesRequested
from services.kit.observability import tracing
from services.whatsapp.domain.message_states import MessageState
from services.whatsapp.domain.sending import ReadyConnection
from services.whatsapp.events import count_states, publish_returned, to_events, to_status_update

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from services.contracts.v1.events_pb2 import MessageRequested
    from services.kit.kafka.envelope import InboundEvent
    from services.whatsapp.domain.messages import MessageKey, RunKey
    from services.whatsapp.ports import ReadyQueue, UnitOfWork, UnitOfWorkFactory


class SendRequestHandler:
    """Queues requested messages, each once, and answers repeated requests with the message's state."""

    def __init__(self, uow_factory: UnitOfWorkFactory, ready_queue: ReadyQueue) -> None:
        """Set up the handler.

        Args:
            uow_factory: starts transactions.
            ready_queue: receives connections with new messages, so that no dispatcher has to poll.
        """
        self._uow_factory = uow_factory
        self._ready_queue = ready_queue

    async def handle(self, events: Sequence[InboundEvent]) -> None:
        """Process a batch.

        Raises:
            ValueError: an id is not a UUID or a text is too long; the consumer dead-letters that event.
        """
        async with self._uow_factory() as uow:
            new_events = await uow.inbox.filter_new(events)
            # Halts first: a request's run decides, not the order of request and halt.
            if halted_runs := _latest_halted_runs(new_events):
                await uow.messages.halt_runs(halted_runs)
            requests = _latest_requests(new_events)
            if requests:
                await _queue(uow, requests, _recorded_messages(new_events))
                await publish_returned(uow.outbox, await uow.messages.return_if_halted(requests))
            await uow.commit()
        connections = _ready_connections(requests)
        await self._ready_queue.push([(connection, 0.0) for connection in connections])


async def _queue(
    uow: UnitOfWork, requests: Mapping[MessageKey, MessageRequested], traceparents: Mapping[MessageKey, str]
) -> None:
    """Queue messages; publish the states of those that left the queue, as their events may have been lost."""
    queued = await uow.messages.queue_requested(requests, traceparents)
    count_states([MessageState.QUEUED] * queued)
    if queued == len(requests):
        return
    outcomes = await uow.messages.list_outcomes(requests)
    await uow.outbox.add(to_events(to_status_update(outcome) for outcome in outcomes))


def _latest_requests(events: Iterable[InboundEvent]) -> dict[MessageKey, MessageRequested]:
    """Return each message's request of the latest run."""
    latest: dict[MessageKey, MessageRequested] = {}
    for inbound in events:
        if not isinstance(inbound.event, MessagesRequested):
            continue
        for request in inbound.event.requests:
            key = inbound.company, UUID(request.message_id)
            if key not in latest or latest[key].run < request.run:
                latest[key] = request
    return latest


def _recorded_messages(events: Iterable[InboundEvent]) -> dict[MessageKey, str]:
    """Return the first message of each event of a sampled trace, with the trace.

    Its attempts and statuses are recorded; those of the other messages are alike. So the trace of a campaign
    of 100,000 messages has about a thousand of them.
    """
    return {
        (inbound.company, UUID(inbound.event.requests[0].message_id)): inbound.traceparent
        for inbound in events
        if tracing.is_sampled(inbound.traceparent)
        and isinstance(inbound.event, MessagesRequested)
        and inbound.event.requests
    }


def _latest_halted_runs(events: Iterable[InboundEvent]) -> dict[RunKey, int]:
    """Return the latest halted run of each campaign and connection."""
    latest: dict[RunKey, int] = {}
    for inbound in events:
        if isinstance(inbound.event, CampaignRunStopped):
            key = inbound.company, inbound.event.campaign_id, inbound.event.connection
            latest[key] = max(inbound.event.run, latest.get(key, 0))
    return latest


def _ready_connections(requests: Mapping[MessageKey, MessageRequested]) -> set[ReadyConnection]:
    """Return the connections of requested messages."""
    return {
        ReadyConnection(company, request.connection, replies=request.priority > 0)
        for (company, _), request in requests.items()
    }
