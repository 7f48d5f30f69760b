"""Applies status updates: advances message states, and returns unsent messages to pending.

All campaigns of a batch are handled together. Every worker locks messages in the same order, and then counts
in the same order, so that workers do not deadlock.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from services.campaigns.domain.lifecycle import RequestedState
from services.campaigns.domain.model import MessageState, count_deltas, highest_states, transitions
from services.campaigns.events import ReturnedMessage, StatusUpdate, status_updates_from

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from services.campaigns.domain.model import CampaignKey
    from services.campaigns.ports import UnitOfWork, UnitOfWorkFactory
    from services.kit.kafka.envelope import InboundEvent

log = logging.getLogger(__name__)


async def apply_status_updates(events: Sequence[InboundEvent], uow_factory: UnitOfWorkFactory) -> None:
    """Apply the status updates of events to messages and counts, once per event, in one transaction.

    Args:
        events: consumed events; those already in the inbox are skipped.
        uow_factory: starts the transaction.
    """
    async with uow_factory() as uow:
        new_events = await uow.inbox.filter_new(events)
        updates = [update for event in new_events for update in status_updates_from(event)]
        returned = [update for update in updates if isinstance(update, ReturnedMessage)]
        advanced = [update for update in updates if isinstance(update, StatusUpdate)]
        deltas = await _return_unsent(returned, uow)
        for campaign, campaign_deltas in (await _advance_states(advanced, uow)).items():
            deltas[campaign].update(campaign_deltas)
        await uow.campaigns.add_counts(deltas)
        await uow.commit()


async def _return_unsent(
    returned: Iterable[ReturnedMessage], uow: UnitOfWork
) -> defaultdict[CampaignKey, Counter[MessageState]]:
    """Return messages to pending, or cancel them; only those still requested under the reported run."""
    runs: dict[CampaignKey, dict[UUID, int]] = defaultdict(dict)
    for update in sorted(returned, key=lambda update: update.run):
        runs[update.message.campaign][update.message.id] = update.run
    deltas: defaultdict[CampaignKey, Counter[MessageState]] = defaultdict(Counter)
    for campaign in sorted(runs):
        requested_state = await uow.campaigns.lock_requested_state(campaign)
        is_cancelled = requested_state is RequestedState.CANCELLED
        state = MessageState.CANCELLED if is_cancelled else MessageState.PENDING
        count = await uow.messages.return_unsent(campaign, runs[campaign], state)
        deltas[campaign].update({state: count, MessageState.QUEUED: -count})
    return deltas


async def _advance_states(
    updates: Iterable[StatusUpdate], uow: UnitOfWork
) -> Mapping[CampaignKey, Counter[MessageState]]:
    """Advance messages to their highest reported states; return the changes of the counts."""
    states = highest_states((update.message, update.state) for update in updates)
    current = await uow.messages.lock(list(states))
    advanced = transitions(current, states)
    await uow.messages.update_states(advanced)
    if unknown := states.keys() - current.keys():
        campaigns = ", ".join(sorted({str(message.campaign.id) for message in unknown}))
        extra = {"action": "apply_status_updates", "campaign": campaigns}
        log.warning("Ignored status updates of %d unknown messages", len(unknown), extra=extra)
    return count_deltas(advanced)
