"""Command and query handlers of the campaigns API."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from services.campaigns.commands import CampaignRecord, CreateCampaign
from services.campaigns.domain.lifecycle import (
    EDITABLE_STATES,
    RESULTING_STATE,
    Action,
    RequestedState,
    is_applicable,
)
from services.campaigns.domain.model import Campaign, request_fingerprint
from services.campaigns.domain.schedule_rules import Schedule
from services.campaigns.domain.templates import validate_templates
from services.campaigns.events import run_stopped_event
from services.kit.errors import ConflictError, InvalidError, NotFoundError
from services.kit.ids import uuid7

if TYPE_CHECKING:
    from uuid import UUID

    from services.campaigns.commands import (
        CampaignProgress,
        CampaignSpec,
        ChangeCampaignState,
        MessageResult,
        UpdateCampaign,
    )
    from services.campaigns.ports import UnitOfWork, UnitOfWorkFactory

log = logging.getLogger(__name__)


async def create_campaign(command: CreateCampaign, uow_factory: UnitOfWorkFactory) -> UUID:
    """Store a campaign and make it available for planning if it starts at once.

    Args:
        command: the campaign.
        uow_factory: starts the transaction.

    Returns:
        The campaign's id, the same for the same idempotency key.

    Raises:
        InvalidError: templates or schedule are invalid; the message lists all errors.
        ConflictError: the key was used for another request.
    """
    record = _build_record(command)
    async with uow_factory() as uow:
        if await uow.campaigns.add(record):
            if record.requested_state is RequestedState.ACTIVE:
                await uow.plans.start_or_resume(record.campaign)
            await uow.commit()
            log.info("Created campaign", extra={"action": "create_campaign", "campaign": record.campaign.id})
            return record.campaign.id
        existing = await uow.campaigns.find_by_idempotency_key(command.company, command.idempotency_key)
    if existing is None or existing[1] != record.fingerprint:
        raise ConflictError("this Idempotency-Key was used for another campaign")
    return existing[0]


def _build_record(command: CreateCampaign) -> CampaignRecord:
    campaign = _build_campaign(command, uuid7())
    fingerprint = _fingerprint(command, campaign.text)
    return CampaignRecord(
        campaign, command.idempotency_key, fingerprint, _initial_state(command), command.schedule
    )


def _build_campaign(spec: CampaignSpec, campaign_id: UUID) -> Campaign:
    text, *variants = [template.strip() for template in (spec.text, *spec.text_variants)]
    errors = validate_templates([text, *variants], spec.variables) + spec.schedule.validation_errors()
    if errors:
        raise InvalidError("; ".join(errors))
    return Campaign(
        company=spec.company,
        id=campaign_id,
        name=spec.name,
        list_name=spec.list_name,
        text=text,
        connection=spec.connection,
        text_variants=tuple(variants),
        variables=spec.variables,
        expires_at=spec.schedule.expires_at,
    )


def _fingerprint(command: CreateCampaign, text: str) -> bytes:
    """Return the request's fingerprint; optional fields count only when they differ from their defaults."""
    required = (command.name, command.list_name, text, command.connection)
    optional = (command.text_variants, sorted(command.variables.items()), command.start, command.schedule)
    if optional == ((), [], True, Schedule()):
        return request_fingerprint(*required)
    return request_fingerprint(*required, repr(optional))


def _initial_state(command: CreateCampaign) -> RequestedState:
    if command.schedule.start_at is not None:
        return RequestedState.SCHEDULED
    if not command.start:
        return RequestedState.DRAFT
    return RequestedState.WAITING if command.schedule.window else RequestedState.ACTIVE


async def update_campaign(command: UpdateCampaign, uow_factory: UnitOfWorkFactory) -> CampaignProgress:
    """Replace the editable fields of a draft or a scheduled campaign.

    Without a start time it becomes a draft, with one it is scheduled.

    Args:
        command: the campaign and its new fields.
        uow_factory: starts the transaction.

    Returns:
        The campaign after the change.

    Raises:
        InvalidError: templates or schedule are invalid.
        NotFoundError: the company has no such campaign.
        ConflictError: the campaign has started or ended.
    """
    campaign, company = _build_campaign(command, command.campaign_id), command.company
    async with uow_factory() as uow:
        current = _require_found(await uow.campaigns.lock(company, campaign.id))
        if current.state not in EDITABLE_STATES:
            raise ConflictError(
                f"the campaign is {current.state.value}: only drafts and scheduled campaigns can be changed"
            )
        state = RequestedState.SCHEDULED if command.schedule.start_at else RequestedState.DRAFT
        await uow.campaigns.update(replace(campaign, run=current.campaign.run), state, command.schedule)
        updated = _require_found(await uow.campaigns.get_progress(company, campaign.id))
        await uow.commit()
    log.info("Updated campaign", extra={"action": "update_campaign", "campaign": campaign.id})
    return updated


async def clone_campaign(
    company: str, campaign_id: UUID, idempotency_key: str, uow_factory: UnitOfWorkFactory
) -> UUID:
    """Create a draft with the fields of a campaign, without its dates.

    Args:
        company: the tenant.
        campaign_id: the campaign to copy.
        idempotency_key: idempotency key of the caller.
        uow_factory: starts the transactions.

    Returns:
        The draft's id, the same for the same idempotency key.

    Raises:
        NotFoundError: the company has no such campaign.
        ConflictError: the key was used for another request.
    """
    progress = await get_campaign_progress(company, campaign_id, uow_factory)
    original = progress.campaign
    command = CreateCampaign(
        company=company,
        idempotency_key=idempotency_key,
        name=original.name,
        list_name=original.list_name,
        text=original.text,
        connection=original.connection,
        text_variants=original.text_variants,
        variables=original.variables,
        start=False,
        schedule=Schedule(window=progress.schedule.window),
    )
    return await create_campaign(command, uow_factory)


async def change_campaign_state(
    command: ChangeCampaignState, uow_factory: UnitOfWorkFactory
) -> CampaignProgress:
    """Start, pause, resume or cancel a campaign. Repeating an action changes nothing.

    Args:
        command: the campaign and the action.
        uow_factory: starts the transaction.

    Returns:
        The campaign after the action.

    Raises:
        NotFoundError: the company has no such campaign.
        ConflictError: the action is not allowed in the campaign's state.
    """
    async with uow_factory() as uow:
        current = _require_found(await uow.campaigns.lock(command.company, command.campaign_id))
        if not is_applicable(command.action, current.state):
            return current
        await _apply_action(command.action, current, uow)
        changed = _require_found(await uow.campaigns.get_progress(command.company, command.campaign_id))
        await uow.commit()
    action = command.action.value
    log.info(
        "Applied %s to campaign",
        action,
        extra={"action": f"{action}_campaign", "campaign": command.campaign_id},
    )
    return changed


async def _apply_action(action: Action, current: CampaignProgress, uow: UnitOfWork) -> None:
    """Start planning under the next run, or suspend planning and stop the current run."""
    campaign, state = current.campaign, RESULTING_STATE[action]
    if action is Action.RESUME:
        campaign = replace(campaign, run=campaign.run + 1)
    if state is RequestedState.ACTIVE and current.schedule.window:
        state = RequestedState.WAITING
    await uow.campaigns.set_requested_state(campaign, state)
    if state is RequestedState.ACTIVE:
        await uow.plans.start_or_resume(campaign)
    elif action in {Action.PAUSE, Action.CANCEL}:
        await uow.plans.suspend(campaign)
        await uow.outbox.add([run_stopped_event(campaign)])


async def get_campaign_progress(
    company: str, campaign_id: UUID, uow_factory: UnitOfWorkFactory
) -> CampaignProgress:
    """Return a campaign with its state and counts.

    Args:
        company: the tenant.
        campaign_id: the campaign.
        uow_factory: starts the transaction.

    Returns:
        The campaign.

    Raises:
        NotFoundError: the company has no such campaign.
    """
    async with uow_factory() as uow:
        return _require_found(await uow.campaigns.get_progress(company, campaign_id))


def _require_found(progress: CampaignProgress | None) -> CampaignProgress:
    if progress is None:
        raise NotFoundError("there is no such campaign")
    return progress


async def list_campaigns(
    company: str, before: UUID | None, limit: int, uow_factory: UnitOfWorkFactory
) -> list[CampaignProgress]:
    """Return campaigns of a company, newest first.

    Args:
        company: the tenant.
        before: return campaigns created before this one; None for the newest.
        limit: maximum number of campaigns.
        uow_factory: starts the transaction.

    Returns:
        The campaigns with their states and counts.
    """
    async with uow_factory() as uow:
        return await uow.campaigns.page(company, before, limit)


async def list_messages(
    company: str, campaign_id: UUID, after: UUID | None, limit: int, uow_factory: UnitOfWorkFactory
) -> list[MessageResult]:
    """Return a page of a campaign's messages.

    Args:
        company: the tenant.
        campaign_id: the campaign.
        after: return messages after this one; None for the first.
        limit: maximum number of messages.
        uow_factory: starts the transactions.

    Returns:
        The messages by id.

    Raises:
        NotFoundError: the company has no such campaign.
    """
    await get_campaign_progress(company, campaign_id, uow_factory)
    async with uow_factory() as uow:
        return await uow.messages.page(company, campaign_id, after, limit)
