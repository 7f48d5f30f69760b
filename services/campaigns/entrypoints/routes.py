"""The HTTP addresses of the service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID  # noqa: TC003 - FastAPI reads the annotations when it runs

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse

from services.campaigns import handlers
from services.campaigns.commands import ActOnCampaign, ChangeCampaign, CreateCampaign
from services.campaigns.entrypoints.bodies import (
    CampaignAnswer,
    CampaignsAnswer,
    ChangedCampaign,
    Created,
    MessageAnswer,
    MessagesAnswer,
    NewCampaign,
)
from services.campaigns.lifecycle import Action  # noqa: TC001 - FastAPI reads the annotations when it runs
from services.campaigns.results import csv_of
from services.kit.auth import Caller, allowed
from services.kit.http import IdempotencyKey  # noqa: TC001 - FastAPI reads the annotations when it runs

if TYPE_CHECKING:
    from services.campaigns.ports import Units

PAGE = 1000
"""Most messages of one page; as many as a ledger answers about at once."""
CAMPAIGNS = 100
"""Most campaigns of one page."""
router = APIRouter(prefix="/campaigns", tags=["campaigns"])
Reader = Annotated[Caller, Depends(allowed("campaigns:read"))]
Writer = Annotated[Caller, Depends(allowed("campaigns:write"))]


@router.post("", status_code=202)
async def create(
    request: Request, caller: Writer, body: NewCampaign, idempotency_key: IdempotencyKey
) -> Created:
    """Create a campaign. The same key never makes a second one."""
    content = vars(body.content(caller.company))
    command = CreateCampaign(**content, key=idempotency_key, start=body.start)
    return Created(id=await handlers.create_campaign(command, _units(request)))


@router.get("")
async def campaigns(
    request: Request,
    caller: Reader,
    before: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=CAMPAIGNS)] = 50,
) -> CampaignsAnswer:
    """Return a page of campaigns, the newest first."""
    page = await handlers.list_campaigns(caller.company, before, limit, _reading(request))
    last = page[-1].campaign.id if len(page) == limit else None
    return CampaignsAnswer(campaigns=[CampaignAnswer.of(found) for found in page], next=last)


@router.get("/{campaign_id}")
async def progress(request: Request, caller: Reader, campaign_id: UUID) -> CampaignAnswer:
    """Return how far a campaign is, with its messages counted by state."""
    return CampaignAnswer.of(await handlers.read_progress(caller.company, campaign_id, _reading(request)))


@router.put("/{campaign_id}")
async def change(
    request: Request, caller: Writer, campaign_id: UUID, body: ChangedCampaign
) -> CampaignAnswer:
    """Replace a campaign that has not begun; without `at` it is a draft until it is started."""
    command = ChangeCampaign(**vars(body.content(caller.company)), campaign_id=campaign_id)
    return CampaignAnswer.of(await handlers.change_campaign(command, _units(request)))


@router.post("/{campaign_id}/clone", status_code=201)
async def clone(
    request: Request, caller: Writer, campaign_id: UUID, idempotency_key: IdempotencyKey
) -> Created:
    """Make a draft like a campaign."""
    made = await handlers.clone_campaign(caller.company, campaign_id, idempotency_key, _units(request))
    return Created(id=made)


@router.post("/{campaign_id}/{action}")
async def act(request: Request, caller: Writer, campaign_id: UUID, action: Action) -> CampaignAnswer:
    """Start, pause, resume or cancel a campaign. Asked once more it changes nothing.

    Pausing takes back what has not been begun; what was begun goes out. Resuming asks for it again.
    """
    command = ActOnCampaign(caller.company, campaign_id, action)
    return CampaignAnswer.of(await handlers.act_on_campaign(command, _units(request)))


@router.get("/{campaign_id}/results.csv")
async def results(request: Request, caller: Reader, campaign_id: UUID) -> StreamingResponse:
    """Return what became of every message, as CSV, a page at a time."""
    await handlers.read_progress(caller.company, campaign_id, _reading(request))
    rows = csv_of(caller.company, campaign_id, PAGE, _reading(request))
    return StreamingResponse(rows, media_type="text/csv")


@router.get("/{campaign_id}/messages")
async def messages(
    request: Request,
    caller: Reader,
    campaign_id: UUID,
    after: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=PAGE)] = 500,
) -> MessagesAnswer:
    """Return a page of a campaign's messages, by id."""
    page = await handlers.read_messages(caller.company, campaign_id, after, limit, _reading(request))
    answers = [MessageAnswer.of(one) for one in page]
    return MessagesAnswer(messages=answers, next=page[-1].message_id if len(page) == limit else None)


def _units(request: Request) -> Units:
    units: Units = request.app.state.units
    return units


def _reading(request: Request) -> Units:
    units: Units = request.app.state.reading
    return units
