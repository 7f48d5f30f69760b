"""Requests messages again whose events may have been lost with an environment."""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from services.campaigns.domain.lifecycle import RequestedState
from services.campaigns.events import request_events, run_stopped_event
from services.kit.errors import NotFoundError

if TYPE_CHECKING:
    from services.campaigns.domain.model import Campaign, Recipient
    from services.campaigns.ports import ContactsClient, UnitOfWorkFactory

log = logging.getLogger(__name__)


async def republish_requests(
    chunk_size: int, uow_factory: UnitOfWorkFactory, contacts: ContactsClient
) -> int:
    """Request every message again of which an event may have been lost.

    For use after the events between the services were lost. A repeated request is harmless: the id of a
    message never changes, and the whatsapp service answers with its state if it knows the message. Campaigns
    whose list was deleted, and messages of contacts that left the list, are skipped.

    Args:
        chunk_size: recipients per transaction.
        uow_factory: starts the transactions.
        contacts: client of the contacts service.

    Returns:
        The number of requested messages.

    Raises:
        TemporaryError: the database or the contacts service is unavailable; a repeated call starts over.
    """
    async with uow_factory() as uow:
        campaigns = await uow.campaigns.with_unconfirmed_messages()
    counts = [
        await _republish_campaign(campaign, requested_state, chunk_size, uow_factory, contacts)
        for campaign, requested_state in campaigns
    ]
    return sum(counts)


async def _republish_campaign(
    campaign: Campaign,
    requested_state: RequestedState,
    chunk_size: int,
    uow_factory: UnitOfWorkFactory,
    contacts: ContactsClient,
) -> int:
    """Read the contact list again: it contains the phone numbers and names.

    The run of an inactive campaign is stopped again first, so that messages requested under it are returned.
    """
    cursor, requested = None, 0
    if requested_state is not RequestedState.ACTIVE:
        async with uow_factory() as uow:
            await uow.outbox.add([run_stopped_event(campaign)])
            await uow.commit()
    extra = {"action": "republish_requests", "campaign": campaign.id}
    while True:
        try:
            _, page = await contacts.fetch_page(campaign.company, campaign.list_name, cursor, chunk_size)
        except NotFoundError:
            log.warning("Skipped campaign: its contact list does not exist", extra=extra)
            return requested
        requested += await _republish_page(campaign, page, uow_factory)
        if len(page) < chunk_size:
            log.info("Requested %d messages again", requested, extra=extra)
            return requested
        cursor = page[-1].contact_id


async def _republish_page(campaign: Campaign, page: list[Recipient], uow_factory: UnitOfWorkFactory) -> int:
    """Request the unconfirmed messages of a page again, each under its id and run; return their number."""
    async with uow_factory() as uow:
        contact_ids = [recipient.contact_id for recipient in page]
        unconfirmed = await uow.messages.find_unconfirmed(campaign, contact_ids)
        by_run: dict[int, list[Recipient]] = defaultdict(list)
        for recipient in page:
            if message := unconfirmed.get(recipient.contact_id):
                by_run[message.run].append(replace(recipient, message_id=message.message_id))
        for run, recipients in by_run.items():
            await uow.outbox.add(request_events(replace(campaign, run=run), recipients))
        await uow.commit()
    return len(unconfirmed)
