"""HTTP routes of the campaigns API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID  # noqa: TC003 - FastAPI reads the annotations when it runs

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse

from services.campaigns import handlers
from services.campaigns.api.csv_export import export_csv
from services.campaigns.api.schemas import (
    CampaignPage,
    CampaignResponse,
    CreateCampaignBody,
    CreatedResponse,
    MessagePage,
    MessageResponse,
    UpdateCampaignBody,
)
from services.campaigns.commands import ChangeCampaignState, CreateCampaign, UpdateCampaign
from services.campaigns.domain.lifecycle import Action  # noqa: TC001 - FastAPI reads the annotations
from services.kit.http.app import IdempotencyKey  # noqa: TC001 - FastAPI reads the annotations when it runs
from services.kit.http.auth import Principal, require_scope
from services.kit.http.retrying_route import RetryingRoute

if TYPE_CHECKING:
    from services.campaigns.ports import UnitOfWorkFactory

MAX_MESSAGES_PER_PAGE = 1000
"""Equal to the limit of the simulator's ledger, which is compared page by page."""
MAX_CAMPAIGNS_PER_PAGE = 100
router = APIRouter(prefix="/campaigns", tags=["campaigns"], route_class=RetryingRoute)
Reader = Annotated[Principal, Depends(require_scope("campaigns:read"))]
Writer = Annotated[Principal, Depends(require_scope("campaigns:write"))]


@router.post("", status_code=202)
async def create_campaign(
    request: Request, principal: Writer, body: CreateCampaignBody, idempotency_key: IdempotencyKey
) -> CreatedResponse:
    """Create a campaign. Repeated requests with the same key create one campaign."""
    spec = vars(body.to_spec(principal.company))
    command = CreateCampaign(**spec, idempotency_key=idempotency_key, start=body.start)
    return CreatedResponse(id=await handlers.create_campaign(command, _uow_factory(request)))


@router.get("")
async def list_campaigns(
    request: Request,
    principal: Reader,
    before: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=MAX_CAMPAIGNS_PER_PAGE)] = 50,
) -> CampaignPage:
    """Return a page of campaigns, newest first."""
    page = await handlers.list_campaigns(principal.company, before, limit, _read_only_uow_factory(request))
    campaigns = [CampaignResponse.from_progress(progress) for progress in page]
    return CampaignPage(campaigns=campaigns, next=page[-1].campaign.id if len(page) == limit else None)


@router.get("/{campaign_id}")
async def get_campaign(request: Request, principal: Reader, campaign_id: UUID) -> CampaignResponse:
    """Return a campaign with its state and its message counts per state."""
    progress = await handlers.get_campaign_progress(
        principal.company, campaign_id, _read_only_uow_factory(request)
    )
    return CampaignResponse.from_progress(progress)


@router.put("/{campaign_id}")
async def update_campaign(
    request: Request, principal: Writer, campaign_id: UUID, body: UpdateCampaignBody
) -> CampaignResponse:
    """Replace the fields of a campaign that has not started; without `start_at` it becomes a draft."""
    command = UpdateCampaign(**vars(body.to_spec(principal.company)), campaign_id=campaign_id)
    progress = await handlers.update_campaign(command, _uow_factory(request))
    return CampaignResponse.from_progress(progress)


@router.post("/{campaign_id}/clone", status_code=201)
async def clone_campaign(
    request: Request, principal: Writer, campaign_id: UUID, idempotency_key: IdempotencyKey
) -> CreatedResponse:
    """Create a draft with the fields of a campaign."""
    draft_id = await handlers.clone_campaign(
        principal.company, campaign_id, idempotency_key, _uow_factory(request)
    )
    return CreatedResponse(id=draft_id)


@router.post("/{campaign_id}/{action}")
async def change_campaign_state(
    request: Request, principal: Writer, campaign_id: UUID, action: Action
) -> CampaignResponse:
    """Start, pause, resume or cancel a campaign. Repeating an action changes nothing.

    Pausing returns unsent messages to pending; messages in progress are still sent. Resuming requests the
    pending messages again.
    """
    command = ChangeCampaignState(principal.company, campaign_id, action)
    progress = await handlers.change_campaign_state(command, _uow_factory(request))
    return CampaignResponse.from_progress(progress)


@router.get("/{campaign_id}/results.csv")
async def export_results(request: Request, principal: Reader, campaign_id: UUID) -> StreamingResponse:
    """Return the state of every message as CSV, streamed page by page."""
    uow_factory = _read_only_uow_factory(request)
    await handlers.get_campaign_progress(principal.company, campaign_id, uow_factory)
    lines = export_csv(principal.company, campaign_id, MAX_MESSAGES_PER_PAGE, uow_factory)
    return StreamingResponse(lines, media_type="text/csv")


@router.get("/{campaign_id}/messages")
async def list_messages(
    request: Request,
    principal: Reader,
    campaign_id: UUID,
    after: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=MAX_MESSAGES_PER_PAGE)] = 500,
) -> MessagePage:
    """Return a page of a campaign's messages by id."""
    page = await handlers.list_messages(
        principal.company, campaign_id, after, limit, _read_only_uow_factory(request)
    )
    messages = [MessageResponse.from_result(result) for result in page]
    return MessagePage(messages=messages, next=page[-1].message_id if len(page) == limit else None)


def _uow_factory(request: Request) -> UnitOfWorkFactory:
    uow_factory: UnitOfWorkFactory = request.app.state.uow_factory
    return uow_factory


def _read_only_uow_factory(request: Request) -> UnitOfWorkFactory:
    uow_factory: UnitOfWorkFactory = request.app.state.read_only_uow_factory
    return uow_factory
