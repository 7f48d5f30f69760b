"""In-memory fakes of the ports, for tests without servers."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from services.kit.errors import TemporaryError
from services.kit.fakes import FakeInbox, FakeOutbox
from services.whatsapp.domain.connections import ConnectionDetails
from services.whatsapp.domain.message_states import DeliveryState, MessageState
from services.whatsapp.domain.messages import MessageOutcome, MessageRecord, ReplyLoad
from services.whatsapp.domain.sending import Accepted, LeaseResult
from services.whatsapp.domain.webhooks import PendingWebhook

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
    from uuid import UUID

    from services.contracts.v1.events_pb2 import MessageRequested
    from services.kit.postgres.inbox import Inbox
    from services.kit.postgres.outbox import Outbox
    from services.whatsapp.commands import PutConnection, SendReply
    from services.whatsapp.domain.messages import MessageKey, RunKey
    from services.whatsapp.domain.sending import AttemptResult, LeasedMessage, ReadyConnection, SendOutcome
    from services.whatsapp.domain.webhooks import WebhookStatus
    from services.whatsapp.ports import (
        ConnectionRepository,
        DeliveryStateRepository,
        MessageRepository,
        WebhookRepository,
    )


class FakeMessageSender:
    """Returns the given outcomes one after another, then accepts every message.

    Attributes:
        send_counts: number of calls per message.
    """

    def __init__(self, outcomes: Iterable[SendOutcome] = ()) -> None:
        self._outcomes = list(outcomes)
        self.send_counts: Counter[UUID] = Counter()

    async def send(self, message: LeasedMessage) -> SendOutcome:
        """See `ports.MessageSender.send`."""
        self.send_counts[message.message_id] += 1
        if self._outcomes:
            return self._outcomes.pop(0)
        return Accepted(f"wamid.{message.message_id.hex}")


class FakeReadyQueue:
    """Keeps connections in the order of arrival, each once; delays are ignored.

    Attributes:
        pending: delay in seconds of each connection.
    """

    def __init__(self) -> None:
        self.pending: dict[ReadyConnection, float] = {}

    async def pop(self, limit: int) -> list[ReadyConnection]:
        """See `ports.ReadyQueue.pop`."""
        popped = list(self.pending)[:limit]
        for connection in popped:
            del self.pending[connection]
        return popped

    async def push(self, connections: Sequence[tuple[ReadyConnection, float]]) -> None:
        """See `ports.ReadyQueue.push`."""
        for connection, delay_seconds in connections:
            self.pending.setdefault(connection, delay_seconds)

    async def wait(self, timeout_seconds: float) -> None:
        """See `ports.ReadyQueue.wait`."""
        await asyncio.sleep(0 if self.pending else timeout_seconds)


class FakeMessageLeases:
    """Leases each of the given messages once.

    Attributes:
        results: recorded results.
        remaining_failures: number of next writes that fail.
        largest_limit: highest limit of a lease so far.
        all_recorded: set when every message has a result.
    """

    def __init__(self, messages: Iterable[LeasedMessage]) -> None:
        self._pending = deque(messages)
        self._count = len(self._pending)
        self.results: list[AttemptResult] = []
        self.remaining_failures = 0
        self.largest_limit = 0
        self.all_recorded = asyncio.Event()

    async def lease(self, connections: Sequence[ReadyConnection], limit: int) -> LeaseResult:
        """See `ports.MessageLeases.lease`."""
        self.largest_limit = max(self.largest_limit, limit)
        messages = [self._pending.popleft() for _ in range(min(limit, len(self._pending)))]
        return LeaseResult(messages, [(connection, 0.0) for connection in connections if self._pending])

    async def record_results(self, results: Sequence[AttemptResult]) -> int:
        """See `ports.MessageLeases.record_results`."""
        if self.remaining_failures:
            self.remaining_failures -= 1
            raise TemporaryError("the database is not available")
        self.results += results
        if len(self.results) >= self._count:
            self.all_recorded.set()
        return len(results)


class FakeConnectionRepository:
    """Connections in a dict."""

    def __init__(self) -> None:
        self.owners: dict[str, str] = {}
        self.connections: dict[tuple[str, str], ConnectionDetails] = {}

    async def assign_number(self, phone_number_id: str, company: str) -> str | None:
        """See `ports.ConnectionRepository.assign_number`."""
        return self.owners.setdefault(phone_number_id, company)

    async def put(self, command: PutConnection) -> None:
        """See `ports.ConnectionRepository.put`."""
        key = command.company, command.name
        existing = self.connections.get(key)
        keep_quota = existing is not None and command.keep_quota
        self.connections[key] = ConnectionDetails(
            phone_number_id=command.phone_number_id,
            messages_per_second=command.messages_per_second,
            recipients_per_day=existing.recipients_per_day
            if existing and keep_quota
            else command.recipients_per_day,
            throttle_factor=existing.throttle_factor if existing else 1.0,
            suspended_until=None,
            recipients_last_24h=0,
            pending_messages=0,
        )

    async def find(self, company: str, name: str) -> ConnectionDetails | None:
        """See `ports.ConnectionRepository.find`."""
        return self.connections.get((company, name))

    async def purge_daily_recipients(self) -> int:
        """See `ports.ConnectionRepository.purge_daily_recipients`."""
        return 0


@dataclass
class StoredMessage:
    """Row of `FakeMessageRepository`.

    Attributes:
        record: the message.
        campaign_id: its campaign.
        priority: its priority.
        run: its run.
        send_before: end of its send window.
        expires_at: end of its lifetime.
        lease_expires_at: end of its lease.
    """

    record: MessageRecord
    campaign_id: str = ""
    priority: int = 0
    run: int = 0
    send_before: datetime | None = None
    expires_at: datetime | None = None
    lease_expires_at: datetime | None = None


class FakeMessageRepository:
    """Messages in a dict."""

    def __init__(self, connections: FakeConnectionRepository) -> None:
        self._connections = connections
        self.messages: dict[MessageKey, StoredMessage] = {}
        self.halted_runs: dict[RunKey, int] = {}
        self.traceparents: dict[MessageKey, str] = {}

    async def find(self, company: str, message_id: UUID) -> MessageRecord | None:
        """See `ports.MessageRepository.find`."""
        message = self.messages.get((company, message_id))
        return message.record if message else None

    async def reply_load(self, company: str, connection: str) -> ReplyLoad | None:
        """See `ports.MessageRepository.reply_load`."""
        details = await self._connections.find(company, connection)
        if details is None:
            return None
        ahead = [
            message
            for key, message in self.messages.items()
            if key[0] == company
            and message.record.connection == connection
            and message.record.state is MessageState.QUEUED
            and message.priority > 0
        ]
        return ReplyLoad(details.messages_per_second, details.throttle_factor, 0.0, len(ahead))

    async def add_reply(self, command: SendReply) -> bool:
        """See `ports.MessageRepository.add_reply`."""
        key = command.company, command.message_id
        if key in self.messages:
            return False
        record = _new_record(command.connection, command.recipient, command.text)
        self.messages[key] = StoredMessage(record, priority=1)
        return True

    async def queue_requested(
        self, requests: Mapping[MessageKey, MessageRequested], traceparents: Mapping[MessageKey, str]
    ) -> int:
        """See `ports.MessageRepository.queue_requested`."""
        self.traceparents |= traceparents
        queued = 0
        for key, request in requests.items():
            existing = self.messages.get(key)
            is_unsent = existing is not None and existing.record.state in _UNSENT
            if existing is None or (is_unsent and existing.run < request.run):
                self.messages[key] = _requested_message(request)
                queued += 1
        return queued

    async def list_outcomes(self, keys: Iterable[MessageKey]) -> list[MessageOutcome]:
        """See `ports.MessageRepository.list_outcomes`."""
        in_queue = {MessageState.QUEUED, MessageState.LEASED}
        return [
            _outcome(key, self.messages[key])
            for key in keys
            if key in self.messages and self.messages[key].record.state not in in_queue
        ]

    async def halt_runs(self, runs: Mapping[RunKey, int]) -> None:
        """See `ports.MessageRepository.halt_runs`."""
        for key, run in runs.items():
            self.halted_runs[key] = max(run, self.halted_runs.get(key, run))

    async def return_if_halted(self, keys: Iterable[MessageKey]) -> list[MessageOutcome]:
        """See `ports.MessageRepository.return_if_halted`."""
        return [
            self._move(key, MessageState.RETURNED)
            for key in keys
            if self._is_queued(key) and self._is_halted(key)
        ]

    async def return_halted(self, limit: int) -> list[MessageOutcome]:
        """See `ports.MessageRepository.return_halted`."""
        return (await self.return_if_halted(self.messages))[:limit]

    async def return_expired(self, limit: int) -> list[MessageOutcome]:
        """See `ports.MessageRepository.return_expired`."""
        now = datetime.now(UTC)
        outcomes: list[MessageOutcome] = []
        for key, message in self.messages.items():
            expired = message.expires_at is not None and message.expires_at <= now
            late = message.send_before is not None and message.send_before <= now
            if self._is_queued(key) and (expired or late) and len(outcomes) < limit:
                outcomes.append(self._move(key, MessageState.EXPIRED if expired else MessageState.RETURNED))
        return outcomes

    async def expire_leases(self, limit: int, reason: str) -> list[MessageOutcome]:
        """See `ports.MessageRepository.expire_leases`."""
        now = datetime.now(UTC)
        expired = [
            key
            for key, message in self.messages.items()
            if message.record.state is MessageState.LEASED
            and message.lease_expires_at is not None
            and message.lease_expires_at < now
        ]
        return [replace(self._move(key, MessageState.UNCERTAIN), reason=reason) for key in expired[:limit]]

    def _move(self, key: MessageKey, state: MessageState) -> MessageOutcome:
        message = self.messages[key]
        message.record = replace(message.record, state=state)
        return _outcome(key, message)

    def _is_queued(self, key: MessageKey) -> bool:
        return key in self.messages and self.messages[key].record.state is MessageState.QUEUED

    def _is_halted(self, key: MessageKey) -> bool:
        message = self.messages[key]
        run_key = key[0], message.campaign_id, message.record.connection
        return message.run <= self.halted_runs.get(run_key, -1)


class FakeDeliveryStateRepository:
    """Delivery states in a dict; every client reference belongs to the company that owns the number."""

    def __init__(self, connections: FakeConnectionRepository) -> None:
        self._connections = connections
        self.states: dict[MessageKey, DeliveryState] = {}

    async def resolve(self, statuses: Sequence[WebhookStatus]) -> dict[int, MessageKey]:
        """See `ports.DeliveryStateRepository.resolve`."""
        return {
            index: (self._connections.owners[status.phone_number_id], status.client_reference)
            for index, status in enumerate(statuses)
            if status.client_reference and status.phone_number_id in self._connections.owners
        }

    async def lock(self, keys: Iterable[MessageKey]) -> dict[MessageKey, DeliveryState]:
        """See `ports.DeliveryStateRepository.lock`."""
        return {key: self.states[key] for key in keys if key in self.states}

    async def save(self, states: Sequence[DeliveryState]) -> None:
        """See `ports.DeliveryStateRepository.save`."""
        self.states |= {(state.company, state.message_id): state for state in states}


@dataclass
class FakeWebhookRepository:
    """Webhooks in a list; the id of a webhook is its index.

    Attributes:
        bodies: stored webhooks.
        parse_errors: parse error of each processed webhook, if any.
    """

    bodies: list[bytes] = field(default_factory=list)
    parse_errors: dict[int, str | None] = field(default_factory=dict)

    async def store(self, body: bytes) -> None:
        """See `ports.WebhookRepository.store`."""
        self.bodies.append(body)

    async def lock_pending(self, limit: int) -> list[PendingWebhook]:
        """See `ports.WebhookRepository.lock_pending`."""
        pending = [
            PendingWebhook(index, body, "")
            for index, body in enumerate(self.bodies)
            if index not in self.parse_errors
        ]
        return pending[:limit]

    async def oldest_pending_age_seconds(self) -> float:
        """See `ports.WebhookRepository.oldest_pending_age_seconds`; 0 or 1, without times."""
        return float(len(self.bodies) > len(self.parse_errors))

    async def mark_processed(self, parse_errors: Mapping[int, str | None]) -> None:
        """See `ports.WebhookRepository.mark_processed`."""
        self.parse_errors |= parse_errors

    async def purge(self, retention_seconds: float) -> int:
        """See `ports.WebhookRepository.purge`; keeps everything, as webhooks have no time here."""
        del retention_seconds
        return 0


class FakeUnitOfWork:
    """Unit of work and its factory in one; there is no rollback.

    Attributes:
        commits: number of commits.
    """

    def __init__(self) -> None:
        self.fake_connections = FakeConnectionRepository()
        self.fake_messages = FakeMessageRepository(self.fake_connections)
        self.fake_delivery_states = FakeDeliveryStateRepository(self.fake_connections)
        self.fake_webhooks = FakeWebhookRepository()
        self.fake_outbox = FakeOutbox()
        self.connections: ConnectionRepository = self.fake_connections
        self.messages: MessageRepository = self.fake_messages
        self.delivery_states: DeliveryStateRepository = self.fake_delivery_states
        self.webhooks: WebhookRepository = self.fake_webhooks
        self.inbox: Inbox = FakeInbox()
        self.outbox: Outbox = self.fake_outbox
        self.commits = 0

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[FakeUnitOfWork]:
        """Start a unit of work."""
        yield self

    async def commit(self) -> None:
        """See `ports.UnitOfWork.commit`."""
        self.commits += 1


_UNSENT = {MessageState.QUEUED, MessageState.RETURNED}


def _new_record(connection: str, recipient: str, text: str) -> MessageRecord:
    return MessageRecord(
        connection=connection,
        recipient=recipient,
        text=text,
        state=MessageState.QUEUED,
        code=None,
        reason=None,
        requested_at=datetime.now(UTC),
        accepted_at=None,
        sent_at=None,
        delivered_at=None,
        read_at=None,
        failed_at=None,
    )


def _requested_message(request: MessageRequested) -> StoredMessage:
    return StoredMessage(
        _new_record(request.connection, request.to, request.text),
        campaign_id=request.campaign_id,
        priority=request.priority,
        run=request.run,
        send_before=request.send_before.ToDatetime(UTC) if request.HasField("send_before") else None,
        expires_at=request.expires_at.ToDatetime(UTC) if request.HasField("expires_at") else None,
    )


def _outcome(key: MessageKey, message: StoredMessage) -> MessageOutcome:
    company, message_id = key
    return MessageOutcome(company, message_id, message.campaign_id, message.record.state, run=message.run)
