"""The HTTP addresses of the service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID  # noqa: TC003 - FastAPI reads the annotations when it runs

from fastapi import APIRouter, Depends, Header, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from services.campaigns import handlers
from services.campaigns.commands import CreateCampaign
from services.campaigns.domain import Stage  # noqa: TC001 - pydantic reads the annotation when it runs
from services.kit.auth import Caller, allowed

if TYPE_CHECKING:
    from services.campaigns.ports import Units

PAGE = 1000
"""Most messages of one page; as many as a ledger answers about at once."""
CONNECTION = r"^[a-z0-9][a-z0-9-]{0,62}$"
router = APIRouter(prefix="/campaigns", tags=["campaigns"])
Reader = Annotated[Caller, Depends(allowed("campaigns:read"))]
Writer = Annotated[Caller, Depends(allowed("campaigns:write"))]


class NewCampaign(BaseModel):
    """A text to a list of contacts; `{name}` in the text becomes each contact's name."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100)
    list: str = Field(min_length=1, max_length=100)
    text: str = Field(min_length=1, max_length=4096)
    connection: str = Field(pattern=CONNECTION)


class Created(BaseModel):
    """The campaign that was created."""

    id: UUID


class CampaignAnswer(BaseModel):
    """How far a campaign is.

    `total` is null until the list has been looked at; `failure` says why planning was given up.
    """

    id: UUID
    name: str
    state: Stage
    failure: str | None
    planned: int
    total: int | None
    counts: dict[str, int]


class MessageAnswer(BaseModel):
    """A message and where it is on the ladder."""

    id: UUID
    state: str


class MessagesAnswer(BaseModel):
    """A page of messages; `next` is given as `after` for the next one, null at the end."""

    messages: list[MessageAnswer]
    next: UUID | None


@router.post("", status_code=202)
async def create(
    request: Request,
    caller: Writer,
    body: NewCampaign,
    idempotency_key: Annotated[str, Header(min_length=8, max_length=200)],
) -> Created:
    """Create a campaign; it is planned and sent from here on. The same key never makes a second one."""
    command = CreateCampaign(
        company=caller.company,
        key=idempotency_key,
        name=body.name,
        list_name=body.list,
        text=body.text,
        connection=body.connection,
    )
    return Created(id=await handlers.create_campaign(command, _units(request)))


@router.get("/{campaign_id}")
async def progress(request: Request, caller: Reader, campaign_id: UUID) -> CampaignAnswer:
    """Return how far a campaign is, with its messages counted by state."""
    found = await handlers.read_progress(caller.company, campaign_id, _reading(request))
    return CampaignAnswer(
        id=campaign_id,
        name=found.campaign.name,
        state=found.stage,
        failure=found.failure,
        planned=found.planned,
        total=found.total,
        counts={state.label: count for state, count in sorted(found.counts.items())},
    )


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
    answers = [MessageAnswer(id=message_id, state=state.label) for message_id, state in page]
    return MessagesAnswer(messages=answers, next=page[-1][0] if len(page) == limit else None)


def _units(request: Request) -> Units:
    units: Units = request.app.state.units
    return units


def _reading(request: Request) -> Units:
    units: Units = request.app.state.reading
    return units
