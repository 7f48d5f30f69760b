"""The webhook processor applies stored webhooks to messages and publishes the changes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from services.contracts import telemetry
from services.contracts.telemetry import Attribute, SpanName
from services.kit.observability import tracing
from services.kit.observability.metrics import counter, gauge, histogram
from services.kit.retry import sleep_unless_stopped
from services.whatsapp.domain.message_states import DeliveryStatus, MessageState
from services.whatsapp.domain.webhooks import MalformedWebhookError, parse_webhook
from services.whatsapp.events import count_states, from_delivery_state, priority_label, to_events

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from services.whatsapp.domain.message_states import DeliveryState
    from services.whatsapp.domain.webhooks import PendingWebhook, WebhookStatus
    from services.whatsapp.ports import UnitOfWork, UnitOfWorkFactory

WEBHOOK_BATCH_SIZE = 50
"""Webhooks in one transaction; each may contain many statuses."""
POLL_INTERVAL_SECONDS = 1.0
"""Statuses of a message that arrive within this time cause one change and one event."""
STATUSES = counter(telemetry.WEBHOOK_STATUSES)
DUPLICATED = counter(telemetry.MESSAGES_DUPLICATED)
DELIVERY = histogram(telemetry.MESSAGE_DELIVERY)
OLDEST_AGE = gauge(telemetry.WEBHOOK_OLDEST_AGE)
log = logging.getLogger(__name__)


class WebhookProcessor:
    """Background task that processes stored webhooks. Each batch is one transaction."""

    def __init__(self, uow_factory: UnitOfWorkFactory) -> None:
        self._uow_factory = uow_factory

    async def run(self, stop: asyncio.Event) -> None:
        """Process webhooks until stopped."""
        while not stop.is_set():
            if await self.process_batch() < WEBHOOK_BATCH_SIZE:
                await sleep_unless_stopped(stop, POLL_INTERVAL_SECONDS)

    async def measure(self) -> None:
        """Export the age of the oldest webhook that is not processed."""
        async with self._uow_factory() as uow:
            OLDEST_AGE.set(await uow.webhooks.oldest_pending_age_seconds())

    async def process_batch(self) -> int:
        """Process the oldest webhooks; return how many."""
        async with self._uow_factory() as uow:
            webhooks = await uow.webhooks.lock_pending(WEBHOOK_BATCH_SIZE)
            if not webhooks:
                return 0
            traceparents = [webhook.traceparent for webhook in webhooks]
            with tracing.batch_span(SpanName.PROCESS_WEBHOOKS, traceparents):
                await _process(uow, webhooks)
        return len(webhooks)


async def _process(uow: UnitOfWork, webhooks: Sequence[PendingWebhook]) -> None:
    """Apply the statuses of webhooks and commit."""
    statuses, parse_errors = _parse_all(webhooks)
    if statuses:
        await _apply(uow, statuses)
    await uow.webhooks.mark_processed(parse_errors)
    await uow.commit()


def _parse_all(
    webhooks: Sequence[PendingWebhook],
) -> tuple[list[WebhookStatus], dict[int, str | None]]:
    """Return the statuses in order, and the parse error of each webhook, if any."""
    statuses: list[WebhookStatus] = []
    parse_errors: dict[int, str | None] = {}
    for webhook in webhooks:
        try:
            statuses += parse_webhook(webhook.body)
            parse_errors[webhook.id] = None
        except MalformedWebhookError as error:
            parse_errors[webhook.id] = str(error)
            log.warning("Webhook %d skipped: %s", webhook.id, error, extra={"action": "parse_webhook"})
    return statuses, parse_errors


async def _apply(uow: UnitOfWork, statuses: Sequence[WebhookStatus]) -> None:
    """Apply statuses to their messages, and publish each message whose state changed."""
    keys = await uow.delivery_states.resolve(statuses)
    previous_states = await uow.delivery_states.lock(keys.values())
    new_states = dict(previous_states)
    for index, status in enumerate(statuses):
        state = new_states.get(keys[index]) if index in keys else None
        if state is None:
            STATUSES.labels("unknown").inc()
            continue
        updated = state.apply_status(status.status, status.occurred_at, status.provider_id, status.code)
        _measure(status, state, is_new=updated is not state)
        new_states[keys[index]] = updated
    await uow.delivery_states.save(
        [state for key, state in new_states.items() if state is not previous_states[key]]
    )
    changed = [state for key, state in new_states.items() if state.state is not previous_states[key].state]
    await uow.outbox.add(to_events(from_delivery_state(state) for state in changed))


def _measure(status: WebhookStatus, state: DeliveryState, *, is_new: bool) -> None:
    """Count a status of a known message, and measure the time until its delivery."""
    STATUSES.labels("applied" if is_new else "duplicate").inc()
    is_other_message = state.provider_id not in {None, status.provider_id}
    if is_other_message and status.status is DeliveryStatus.SENT:
        DUPLICATED.inc()
    if not is_new:
        return
    count_states([MessageState(status.status.value)])
    if state.traceparent:
        attributes = {Attribute.OUTCOME: status.status.value, Attribute.CAMPAIGN: state.campaign_id}
        tracing.record_span(SpanName.APPLY_STATUS, state.traceparent, 0.0, attributes)
    if status.status is DeliveryStatus.DELIVERED and state.attempt_age_seconds is not None:
        priority = priority_label(is_reply=not state.campaign_id)
        DELIVERY.labels(priority).observe(state.attempt_age_seconds)
