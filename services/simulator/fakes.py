"""In-memory fakes of the ports, for tests without servers."""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.simulator.domain.fault_config import FaultConfig
from services.simulator.ports import LedgerWriteUnknownError, ScheduledStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from services.simulator.domain.statuses import PlannedStatus, ReceivedMessage, WebhookStatus


@dataclass
class FakeLedger:
    """Ledger and its store in lists.

    Attributes:
        messages: recorded messages.
        unavailable: whether the next writes have an unknown outcome.
    """

    messages: list[ReceivedMessage] = field(default_factory=list)
    unavailable: bool = False

    async def record(self, message: ReceivedMessage, statuses: Sequence[PlannedStatus]) -> None:
        """See `ports.Ledger.record`."""
        if self.unavailable:
            raise LedgerWriteUnknownError("the ledger is not available")
        await self.save([(message, statuses)])

    async def save(self, messages: Sequence[tuple[ReceivedMessage, Sequence[PlannedStatus]]]) -> None:
        """See `ports.LedgerStore.save`."""
        self.messages += [message for message, _ in messages]

    async def received_counts(self, client_references: Sequence[str]) -> dict[str, int]:
        """See `ports.LedgerStore.received_counts`."""
        counts = Counter(message.client_reference for message in self.messages)
        return {reference: counts[reference] for reference in client_references}

    async def receipt_times(self, client_references: Sequence[str]) -> dict[str, list[float]]:
        """See `ports.LedgerStore.receipt_times`."""
        times: defaultdict[str | None, list[float]] = defaultdict(list)
        for message in self.messages:
            times[message.client_reference].append(message.received_at.timestamp())
        return {reference: times[reference] for reference in client_references}

    async def summary(self) -> Mapping[str, int]:
        """See `ports.LedgerStore.summary`."""
        references = {message.client_reference for message in self.messages}
        return {"received": len(self.messages), "messages": len(references - {None}), "pending_webhooks": 0}


class FakeFaultConfigs:
    """Fault configuration of one replica."""

    def __init__(self, initial: FaultConfig | None = None) -> None:
        self._initial = initial or FaultConfig()
        self.current = self._initial

    async def replace(self, fault_config: FaultConfig) -> None:
        """See `ports.FaultConfigs.replace`."""
        self.current = fault_config

    async def reset(self) -> None:
        """See `ports.FaultConfigs.reset`."""
        self.current = self._initial

    async def refresh(self) -> None:
        """See `ports.FaultConfigs.refresh`."""


class FakeWebhookSchedule:
    """Schedule and its transaction in one; there is no rollback, and delays are only recorded.

    Attributes:
        due: due statuses.
        postponed: postponed statuses with their delays in seconds.
    """

    def __init__(self, due: Sequence[ScheduledStatus] = ()) -> None:
        self.due = list(due)
        self.postponed: list[tuple[ScheduledStatus, float]] = []

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[FakeWebhookSchedule]:
        """See `ports.WebhookSchedule.begin`."""
        yield self

    async def pop(self, limit: int) -> list[ScheduledStatus]:
        """See `ports.DueWebhooks.pop`; a row holds one status here."""
        due, self.due = self.due[:limit], self.due[limit:]
        return due

    async def postpone(self, statuses: Sequence[WebhookStatus], attempts: int, delay_seconds: float) -> None:
        """See `ports.DueWebhooks.postpone`."""
        self.postponed += [(ScheduledStatus(status, attempts), delay_seconds) for status in statuses]

    async def commit(self) -> None:
        """See `ports.DueWebhooks.commit`."""


@dataclass
class FakeWebhookClient:
    """Collects webhooks.

    Attributes:
        bodies: posted bodies.
        remaining_failures: number of next posts that are rejected.
    """

    bodies: list[bytes] = field(default_factory=list)
    remaining_failures: int = 0

    async def post(self, body: bytes) -> bool:
        """See `ports.WebhookClient.post`."""
        self.bodies.append(body)
        self.remaining_failures -= 1
        return self.remaining_failures < 0
