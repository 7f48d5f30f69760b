"""The dispatcher leases messages, sends them and records the results. It may be killed at any moment.

Messages are leased and sent in small batches, so that a crash leaves few messages uncertain. Results are
written in batches with their events. While the database is unavailable no new call is made (no lease can be
written), and results wait in memory: there are never more of them than there were calls in flight.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from services.contracts import telemetry
from services.contracts.telemetry import Attribute, SpanName
from services.kit.errors import TemporaryError
from services.kit.observability import tracing
from services.kit.observability.metrics import counter, gauge, histogram
from services.kit.retry import backoff_seconds, sleep_unless_stopped
from services.whatsapp.domain.error_policy import decide, error_class
from services.whatsapp.domain.sending import AttemptResult, Unknown
from services.whatsapp.events import priority_label

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from services.whatsapp.domain.sending import AttemptDecision, LeasedMessage, ReadyConnection
    from services.whatsapp.ports import MessageLeases, MessageSender, ReadyQueue
    from services.whatsapp.settings import DispatcherSettings

POLL_INTERVAL_SECONDS = 0.1
"""Interval of polling where no notification is possible."""
READY_WAIT_SECONDS = 0.5
"""Longest wait for a ready connection; a new one ends it."""
MESSAGES_PER_CONNECTION = 32
"""Average number of messages per ready connection: that many fewer connections than free slots are popped."""
LEASE_INTERVAL_SECONDS = 0.25
"""Time between two leases: slots gather, so that a batch is worth its transaction."""
RESULT_LINGER_SECONDS = 0.2
"""Time that results wait for others to be written with; no caller waits for them."""
RESULT_BATCH_SIZE = 500
"""Maximum number of results in one transaction."""
SEND_ATTEMPTS = counter(telemetry.SEND_ATTEMPTS)
SEND_DURATION = histogram(telemetry.SEND_DURATION)
IN_FLIGHT = gauge(telemetry.SEND_IN_FLIGHT)
FENCED_RESULTS = counter(telemetry.SEND_FENCED)
PROVIDER_ERRORS = counter(telemetry.PROVIDER_ERRORS)
WAIT = histogram(telemetry.MESSAGE_WAIT)
log = logging.getLogger(__name__)


class Dispatcher:
    """Two background tasks: `run` leases and sends, `write_results` records the results."""

    def __init__(  # noqa: PLR0913 - its collaborators
        self,
        leases: MessageLeases,
        ready_queue: ReadyQueue,
        sender: MessageSender,
        settings: DispatcherSettings,
        rng: Random,
        *,
        permits: Callable[[int], int],
    ) -> None:
        """Set up the dispatcher.

        Args:
            leases: leases messages and records results.
            ready_queue: connections to lease from.
            sender: sends the messages.
            settings: limits of the dispatcher.
            rng: source of the retry jitter.
            permits: returns how many of a number of calls are permitted now, fewer while the provider fails.
        """
        self._leases = leases
        self._ready_queue = ready_queue
        self._sender = sender
        self._settings = settings
        self._rng = rng
        self._permits = permits
        self._calls: set[asyncio.Task[None]] = set()
        self._results: list[AttemptResult] = []
        self._has_results = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Lease and send until stopped, then wait for the calls in flight.

        Raises:
            TemporaryError: the database is unavailable; calls in flight continue.
        """
        while not stop.is_set():
            free_slots = self._settings.concurrency - len(self._calls) - len(self._results)
            limit = self._permits(min(free_slots, self._settings.batch)) if free_slots > 0 else 0
            ready = await self._ready_queue.pop(max(1, limit // MESSAGES_PER_CONNECTION)) if limit > 0 else []
            for message in await self._lease(ready, limit) if ready else []:
                call = asyncio.create_task(self._traced_attempt(message))
                self._calls.add(call)
                call.add_done_callback(self._on_attempt_done)
            if limit > 0 and not ready:
                await self._ready_queue.wait(READY_WAIT_SECONDS)
            else:
                busy = ready or free_slots <= 0
                await sleep_unless_stopped(stop, LEASE_INTERVAL_SECONDS if busy else POLL_INTERVAL_SECONDS)
        if self._calls:
            await asyncio.wait(self._calls)

    async def _lease(self, connections: Sequence[ReadyConnection], limit: int) -> Sequence[LeasedMessage]:
        """Lease messages to send now. The reconciler pushes connections again that are lost here."""
        result = await self._leases.lease(connections, limit)
        await self._ready_queue.push(result.requeue)
        return result.messages

    async def _traced_attempt(self, message: LeasedMessage) -> None:
        """Make one attempt, in the trace of the request if that is recorded."""
        if not message.traceparent:
            await self._attempt(message)
            return
        attributes = {Attribute.CAMPAIGN: message.campaign_id, Attribute.MESSAGE: str(message.message_id)}
        with tracing.span(SpanName.SEND, message.traceparent, attributes=attributes) as span:
            tracing.record_span(SpanName.WAIT, message.traceparent, message.waited_seconds)
            decision = await self._attempt(message)
            span.set_attribute(Attribute.OUTCOME, decision.update.state.value)

    async def _attempt(self, message: LeasedMessage) -> AttemptDecision:
        """Make one attempt and keep its result for `write_results`."""
        started_at = asyncio.get_running_loop().time()
        WAIT.labels(priority_label(is_reply=message.is_reply)).observe(message.waited_seconds)
        try:
            outcome = await self._sender.send(message)
        except Exception as error:
            extra = {"action": "send"}
            log.exception("The sender failed on message %s", message.message_id, extra=extra)
            outcome = Unknown(f"the sender failed: {type(error).__name__}")
        SEND_DURATION.observe(asyncio.get_running_loop().time() - started_at)
        if failure := error_class(outcome):
            PROVIDER_ERRORS.labels(failure.value).inc()
        decision = decide(outcome, message.attempts, self._settings.max_attempts, self._rng)
        SEND_ATTEMPTS.labels(decision.update.state.value).inc()
        if decision.suspend_seconds:
            log.error(
                "Connection %s is suspended for %.0f s: %s",
                message.connection,
                decision.suspend_seconds,
                decision.update.reason,
                extra={
                    "action": "suspend_connection",
                    "company": message.company,
                    "code": decision.update.code,
                },
            )
        self._results.append(AttemptResult(message, decision))
        self._has_results.set()
        return decision

    def _on_attempt_done(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        IN_FLIGHT.set(len(self._calls))

    async def write_results(self, stop: asyncio.Event) -> None:
        """Write results until stopped and no more can arrive."""
        while not stop.is_set() or self._calls or self._results:
            try:
                async with asyncio.timeout(POLL_INTERVAL_SECONDS):
                    await self._has_results.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(RESULT_LINGER_SECONDS)
            batch = self._results[:RESULT_BATCH_SIZE]
            with tracing.batch_span(SpanName.RECORD, _sampled_traces(batch)):
                await self._write_until_stored(batch)
            del self._results[: len(batch)]
            if not self._results:
                self._has_results.clear()

    async def _write_until_stored(self, batch: Sequence[AttemptResult]) -> None:
        """Write a batch, with unlimited retries while the database is unavailable."""
        attempt = 1
        while True:
            try:
                written = await self._leases.record_results(batch)
            except TemporaryError as error:
                attempt += 1
                log.warning("%d results wait: %s", len(batch), error, extra={"action": "write_results"})
                await asyncio.sleep(backoff_seconds(attempt))
            else:
                FENCED_RESULTS.inc(len(batch) - written)
                return


def _sampled_traces(results: Sequence[AttemptResult]) -> list[str]:
    """Return the traces in which attempts of a batch are recorded."""
    return [result.message.traceparent for result in results if result.message.traceparent]
