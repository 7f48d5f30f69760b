"""Ports of the whatsapp service: sending, ready queue, leases, and the unit of work with its repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from uuid import UUID

    from services.contracts.v1.events_pb2 import MessageRequested
    from services.kit.postgres.inbox import Inbox
    from services.kit.postgres.outbox import Outbox
    from services.whatsapp.commands import PutConnection, SendReply
    from services.whatsapp.domain.connections import ConnectionDetails
    from services.whatsapp.domain.message_states import DeliveryState
    from services.whatsapp.domain.messages import (
        MessageKey,
        MessageOutcome,
        MessageRecord,
        ReplyLoad,
        RunKey,
    )
    from services.whatsapp.domain.sending import (
        AttemptResult,
        LeasedMessage,
        LeaseResult,
        ReadyConnection,
        SendingLoad,
        SendOutcome,
    )
    from services.whatsapp.domain.webhooks import PendingWebhook, WebhookStatus

RESYNC_INTERVAL_SECONDS = 2.0
"""The ready queue receives all connections with due messages this often."""


class MessageSender(Protocol):
    """Sends messages by the provider."""

    async def send(self, message: LeasedMessage) -> SendOutcome:
        """Make one attempt and return its outcome.

        Never raises for errors of the provider or the network: these are outcomes. `Rejected` and `NotSent`
        guarantee that the message was not sent; when that is not certain, the outcome is `Unknown`.
        """
        ...


class ReadyConnections(Protocol):
    """Finds connections with due messages."""

    async def list_ready(self, limit: int) -> list[ReadyConnection]:
        """Return connections with due messages: replies before campaigns, longest waiting first.

        Raises:
            TemporaryError: the database is unavailable.
        """
        ...


class ReadyQueue(Protocol):
    """Queue of connections with messages to send. Raises nothing while Redis is unavailable."""

    async def pop(self, limit: int) -> list[ReadyConnection]:
        """Remove and return connections. No other dispatcher receives them."""
        ...

    async def push(self, connections: Sequence[tuple[ReadyConnection, float]]) -> None:
        """Add connections, each after a delay in seconds. A connection in the queue stays as it is."""
        ...

    async def wait(self, timeout_seconds: float) -> None:
        """Return when a connection may be available, or after the timeout."""
        ...


class MessageLeases(Protocol):
    """Leases messages, each to one dispatcher. All methods raise `TemporaryError` without the database."""

    async def lease(self, connections: Sequence[ReadyConnection], limit: int) -> LeaseResult:
        """Lease due messages of these connections, within their rate limits and quotas.

        When this returns, the start of the attempts is committed: no other dispatcher makes them.

        Args:
            connections: connections to lease from.
            limit: maximum number of messages in all.

        Returns:
            The messages, and the connections to push to the ready queue again.
        """
        ...

    async def record_results(self, results: Sequence[AttemptResult]) -> int:
        """Save results of attempts with their events; return how many were not fenced by a newer epoch."""
        ...


class SendingStatistics(Protocol):
    """Numbers for the operators. Raises `TemporaryError` without the database."""

    async def measure(self) -> SendingLoad:
        """Return the state of the connections and of the queued messages."""
        ...


class ConnectionRepository(Protocol):
    """Connections, inside a unit of work."""

    async def assign_number(self, phone_number_id: str, company: str) -> str | None:
        """Assign a number to the company that registers it first.

        Args:
            phone_number_id: the provider's id of the number.
            company: company that registers it.

        Returns:
            The company that owns the number.
        """
        ...

    async def put(self, command: PutConnection) -> None:
        """Create or change a connection, and end its suspension."""
        ...

    async def find(self, company: str, name: str) -> ConnectionDetails | None:
        """Return a connection; None when the company has none of this name.

        Args:
            company: the tenant.
            name: name of the connection.
        """
        ...

    async def purge_daily_recipients(self) -> int:
        """Delete recipients contacted more than 24 hours ago; return how many."""
        ...


class MessageRepository(Protocol):
    """Messages, inside a unit of work."""

    async def find(self, company: str, message_id: UUID) -> MessageRecord | None:
        """Return a message; None when the company has none with this id.

        Args:
            company: the tenant.
            message_id: id of the message.
        """
        ...

    async def reply_load(self, company: str, connection: str) -> ReplyLoad | None:
        """Return the load of a connection, None when the company has no such connection.

        Args:
            company: the tenant.
            connection: name of the connection.
        """
        ...

    async def add_reply(self, command: SendReply) -> bool:
        """Queue a reply; return False when it exists."""
        ...

    async def queue_requested(
        self, requests: Mapping[MessageKey, MessageRequested], traceparents: Mapping[MessageKey, str]
    ) -> int:
        """Queue requested messages.

        Args:
            requests: the requests.
            traceparents: trace of those messages whose attempts and statuses are recorded in it.

        Returns:
            How many are queued, or were queued again under a later run.

        Raises:
            ValueError: a text is too long.
        """
        ...

    async def list_outcomes(self, keys: Iterable[MessageKey]) -> list[MessageOutcome]:
        """Return the messages that are no longer queued or leased."""
        ...

    async def halt_runs(self, runs: Mapping[RunKey, int]) -> None:
        """Halt campaigns up to a run: none of their queued messages is leased any more."""
        ...

    async def return_if_halted(self, keys: Iterable[MessageKey]) -> list[MessageOutcome]:
        """Return those of the messages that are queued under a halted run."""
        ...

    async def return_halted(self, limit: int) -> list[MessageOutcome]:
        """Return queued messages of halted runs."""
        ...

    async def return_expired(self, limit: int) -> list[MessageOutcome]:
        """Return queued messages whose send window or lifetime is over."""
        ...

    async def expire_leases(self, limit: int, reason: str) -> list[MessageOutcome]:
        """Mark attempts uncertain whose lease expired without a result.

        Args:
            limit: maximum number of messages.
            reason: error text to store with the messages.

        Returns:
            The messages.
        """
        ...


class DeliveryStateRepository(Protocol):
    """Delivery states of messages, inside a unit of work."""

    async def resolve(self, statuses: Sequence[WebhookStatus]) -> dict[int, MessageKey]:
        """Return the message of each status by the status's position; unknown ones are left out."""
        ...

    async def lock(self, keys: Iterable[MessageKey]) -> dict[MessageKey, DeliveryState]:
        """Lock messages until the transaction ends and return their states; unknown ones are left out."""
        ...

    async def save(self, states: Sequence[DeliveryState]) -> None:
        """Save changed states."""
        ...


class WebhookRepository(Protocol):
    """Raw webhooks, inside a unit of work."""

    async def store(self, body: bytes) -> None:
        """Store a webhook as received, with the current trace."""
        ...

    async def lock_pending(self, limit: int) -> list[PendingWebhook]:
        """Lock the oldest unprocessed webhooks and return them."""
        ...

    async def oldest_pending_age_seconds(self) -> float:
        """Return the age of the oldest unprocessed webhook; 0 without any."""
        ...

    async def mark_processed(self, parse_errors: Mapping[int, str | None]) -> None:
        """Mark webhooks as processed, by id, with the parse errors of malformed ones."""
        ...

    async def purge(self, retention_seconds: float) -> int:
        """Delete webhooks that were processed before the retention time; return how many."""
        ...


class UnitOfWork(Protocol):
    """One transaction; it is rolled back unless it is committed."""

    connections: ConnectionRepository
    messages: MessageRepository
    delivery_states: DeliveryStateRepository
    webhooks: WebhookRepository
    inbox: Inbox
    outbox: Outbox

    async def commit(self) -> None:
        """Commit the transaction."""
        ...


class UnitOfWorkFactory(Protocol):
    """Starts units of work. Raises `TemporaryError` while the database is unavailable."""

    def __call__(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """Start a unit of work."""
        ...
