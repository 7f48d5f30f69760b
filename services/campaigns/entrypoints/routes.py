"""The HTTP addresses of the service."""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - pydantic reads the annotations
from typing import TYPE_CHECKING, Annotated
from uuid import UUID  # noqa: TC003 - FastAPI reads the annotations when it runs

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from services.campaigns import handlers
from services.campaigns.commands import ActOnCampaign, CreateCampaign
from services.campaigns.lifecycle import Action, Missed, Stage
from services.campaigns.results import csv_of
from services.campaigns.timetable import Times
from services.campaigns.windows import Window
from services.kit.auth import Caller, allowed

if TYPE_CHECKING:
    from services.campaigns.commands import Progress, Result
    from services.campaigns.ports import Units

PAGE = 1000
"""Most messages of one page; as many as a ledger answers about at once."""
CAMPAIGNS = 100
"""Most campaigns of one page."""
NO_NUL = r"^[^\x00]*$"
"""The database takes no NUL."""
CONNECTION = r"^[a-z0-9][a-z0-9-]{0,62}$"
router = APIRouter(prefix="/campaigns", tags=["campaigns"])
Reader = Annotated[Caller, Depends(allowed("campaigns:read"))]
Writer = Annotated[Caller, Depends(allowed("campaigns:write"))]
Variable = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Key = Annotated[str, Header(alias="Idempotency-Key", min_length=8, max_length=200)]


class NewWindow(BaseModel):
    """When a campaign may send: hours of a zone's clocks on days of the week, 0 is Monday.

    It ends on the next day when `to` is not after `from`.
    """

    model_config = ConfigDict(extra="forbid")

    zone: str = Field(max_length=64)
    days: frozenset[int] = frozenset(range(7))
    begins: dt.time = Field(alias="from")
    ends: dt.time = Field(alias="to")

    def window(self) -> Window:
        """Return it as the domain has it."""
        return Window(self.zone, self.days, self.begins.replace(tzinfo=None), self.ends.replace(tzinfo=None))


class NewCampaign(BaseModel):
    """A text to a list of contacts; `{name}` in the text becomes each contact's name.

    It starts at once, at `at`, or with `"start": false` when it is asked to. When nothing could start it
    within five minutes of `at`, `missed` says what becomes of it: it starts late, is cancelled, or is a draft
    again. Outside of `window` it waits; what is not begun by `expires_at` never is. Each contact gets one of
    the text and its `variations`. `variables` are what further placeholders stand for; the variable `name` is
    for contacts that have no name.
    """

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100, pattern=NO_NUL)
    list: str = Field(min_length=1, max_length=100, pattern=NO_NUL)
    text: str = Field(min_length=1, max_length=4096)
    connection: str = Field(pattern=CONNECTION)
    variations: tuple[Annotated[str, Field(max_length=4096)], ...] = Field(default=(), max_length=20)
    variables: dict[Variable, Annotated[str, Field(max_length=500)]] = Field(default={}, max_length=50)
    start: bool = True
    at: AwareDatetime | None = None
    missed: Missed | None = None
    window: NewWindow | None = None
    expires_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _one_beginning(self) -> NewCampaign:
        if self.at is not None and not self.start:
            raise ValueError("a campaign starts at a time or when it is asked to: leave out `at` or `start`")
        if self.missed is not None and self.at is None:
            raise ValueError("`missed` is about `at`, which is not given")
        return self

    def times(self) -> Times:
        """Return what it has to do with time."""
        window = self.window.window() if self.window else None
        return Times(self.at, self.missed or Missed.LATE, window, self.expires_at)


class Created(BaseModel):
    """The campaign that was created."""

    id: UUID


class CampaignAnswer(BaseModel):
    """How far a campaign is.

    `total` is null until the list has been looked at; `failure` says why planning was given up, `note` what
    happened to the campaign by itself. `run` counts how often it was resumed.
    """

    id: UUID
    name: str
    state: Stage
    failure: str | None
    planned: int
    total: int | None
    counts: dict[str, int]
    at: AwareDatetime | None
    run: int
    note: str | None

    @classmethod
    def of(cls, found: Progress) -> CampaignAnswer:
        """Write down what was found."""
        return cls(
            id=found.campaign.id,
            name=found.campaign.name,
            state=found.stage,
            failure=found.failure,
            planned=found.planned,
            total=found.total,
            counts={state.label: count for state, count in sorted(found.counts.items())},
            at=found.times.start_at,
            run=found.campaign.run,
            note=found.note,
        )


class CampaignsAnswer(BaseModel):
    """A page of campaigns, the newest first; `next` is given as `before` for the next, null at the end."""

    campaigns: list[CampaignAnswer]
    next: UUID | None


class MessageAnswer(BaseModel):
    """A message, whose it is, where it is on the ladder and since when."""

    id: UUID
    contact: UUID
    state: str
    since: AwareDatetime | None

    @classmethod
    def of(cls, found: Result) -> MessageAnswer:
        """Write down what was found."""
        return cls(
            id=found.message_id, contact=found.contact_id, state=found.state.label, since=found.changed_at
        )


class MessagesAnswer(BaseModel):
    """A page of messages; `next` is given as `after` for the next one, null at the end."""

    messages: list[MessageAnswer]
    next: UUID | None


@router.post("", status_code=202)
async def create(request: Request, caller: Writer, body: NewCampaign, idempotency_key: Key) -> Created:
    """Create a campaign. The same key never makes a second one."""
    command = CreateCampaign(
        company=caller.company,
        key=idempotency_key,
        name=body.name,
        list_name=body.list,
        text=body.text,
        connection=body.connection,
        more_texts=body.variations,
        variables=body.variables,
        start=body.start,
        times=body.times(),
    )
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


@router.post("/{campaign_id}/clone", status_code=201)
async def clone(request: Request, caller: Writer, campaign_id: UUID, idempotency_key: Key) -> Created:
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
