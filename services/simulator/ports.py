"""Ports of the simulator: ledger, fault configuration, webhook schedule and webhook client."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from services.simulator.domain.fault_config import FaultConfig
    from services.simulator.domain.statuses import PlannedStatus, ReceivedMessage, WebhookStatus


class LedgerWriteUnknownError(Exception):
    """It is unknown whether the message was recorded: the client must not get any response."""


class Ledger(Protocol):
    """Records received messages."""

    async def record(self, message: ReceivedMessage, statuses: Sequence[PlannedStatus]) -> None:
        """Wait until the message and its statuses are stored.

        Args:
            message: the message.
            statuses: its statuses.

        Raises:
            LedgerWriteUnknownError: the database did not confirm the write in time; it may have happened.
        """
        ...


class LedgerStore(Protocol):
    """Storage of the ledger. Each call is one transaction."""

    async def save(self, messages: Sequence[tuple[ReceivedMessage, Sequence[PlannedStatus]]]) -> None:
        """Save messages and schedule their statuses. Saving a message again changes nothing.

        Raises:
            TemporaryError: the database is unavailable.
        """
        ...

    async def received_counts(self, client_references: Sequence[str]) -> dict[str, int]:
        """Return how often each message was received, 0 for unknown ones."""
        ...

    async def receipt_times(self, client_references: Sequence[str]) -> dict[str, list[float]]:
        """Return when each message was received (Unix seconds), one entry per receipt."""
        ...

    async def summary(self) -> Mapping[str, int]:
        """Return the numbers of received requests, of distinct messages, and of pending webhook statuses."""
        ...


class FaultConfigs(Protocol):
    """The fault configuration in force, shared by all replicas.

    Attributes:
        current: the configuration.
    """

    current: FaultConfig

    async def replace(self, fault_config: FaultConfig) -> None:
        """Put a configuration in force; it survives restarts."""
        ...

    async def reset(self) -> None:
        """Put the configuration of the settings in force."""
        ...

    async def refresh(self) -> None:
        """Read the configuration that another replica may have set."""
        ...


class ScheduledStatus(NamedTuple):
    """A due status.

    Attributes:
        status: the status.
        attempts: failed attempts to post it.
    """

    status: WebhookStatus
    attempts: int


class DueWebhooks(Protocol):
    """Due statuses in one transaction: they are due again unless it is committed."""

    async def pop(self, limit: int) -> list[ScheduledStatus]:
        """Remove due statuses, oldest first; none while another replica posts.

        Args:
            limit: maximum number of rows; a row holds the statuses of one second.

        Returns:
            The removed statuses.
        """
        ...

    async def postpone(self, statuses: Sequence[WebhookStatus], attempts: int, delay_seconds: float) -> None:
        """Schedule statuses again. The call is buffered until the commit.

        Args:
            statuses: statuses of one webhook.
            attempts: failed attempts so far.
            delay_seconds: time until the next attempt.
        """
        ...

    async def commit(self) -> None:
        """Commit the transaction."""
        ...


class WebhookSchedule(Protocol):
    """Schedule of webhooks."""

    def begin(self) -> AbstractAsyncContextManager[DueWebhooks]:
        """Start a transaction on due statuses."""
        ...


class WebhookClient(Protocol):
    """Posts webhooks to the client's address."""

    async def post(self, body: bytes) -> bool:
        """Post a signed webhook; return whether the response was 200."""
        ...
