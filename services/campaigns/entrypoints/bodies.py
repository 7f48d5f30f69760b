"""What is sent to the addresses of the service and what they answer, with its bounds."""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - pydantic reads the annotations
from typing import TYPE_CHECKING, Annotated, Self
from uuid import UUID  # noqa: TC003 - pydantic reads the annotations

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from services.campaigns.commands import Content
from services.campaigns.lifecycle import Missed, Stage
from services.campaigns.timetable import Times
from services.campaigns.windows import Window
from services.contracts.limits import CONNECTION_NAME, TEXT_CHARACTERS
from services.kit.http import NO_NUL

if TYPE_CHECKING:
    from services.campaigns.commands import Progress, Result

Variable = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Text = Annotated[str, Field(max_length=TEXT_CHARACTERS)]


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


class ChangedCampaign(BaseModel):
    """A text to a list of contacts; `{name}` in the text becomes each contact's name.

    It starts at `at`, or when it is asked to. When nothing could start it within five minutes of `at`,
    `missed` says what becomes of it: it starts late, is cancelled, or is a draft again. Outside of `window`
    it waits; what is not begun by `expires_at` never is. Each contact gets one of the text and its
    `variations`. `variables` are what further placeholders stand for; the variable `name` is for contacts
    that have no name.
    """

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100, pattern=NO_NUL)
    list: str = Field(min_length=1, max_length=100, pattern=NO_NUL)
    text: Text = Field(min_length=1)
    connection: str = Field(pattern=CONNECTION_NAME)
    variations: tuple[Text, ...] = Field(default=(), max_length=20)
    variables: dict[Variable, Annotated[str, Field(max_length=500)]] = Field(default={}, max_length=50)
    at: AwareDatetime | None = None
    missed: Missed | None = None
    window: NewWindow | None = None
    expires_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _missed_needs_a_time(self) -> Self:
        if self.missed is not None and self.at is None:
            raise ValueError("`missed` is about `at`, which is not given")
        return self

    def content(self, company: str) -> Content:
        """Return what is decided."""
        window = self.window.window() if self.window else None
        return Content(
            company=company,
            name=self.name,
            list_name=self.list,
            text=self.text,
            connection=self.connection,
            more_texts=self.variations,
            variables=self.variables,
            times=Times(self.at, self.missed or Missed.LATE, window, self.expires_at),
        )


class NewCampaign(ChangedCampaign):
    """A text to a list of contacts; it starts at once, unless `start` is false or `at` given."""

    start: bool = True

    @model_validator(mode="after")
    def _one_beginning(self) -> Self:
        if self.at is not None and not self.start:
            raise ValueError("a campaign starts at a time or when it is asked to: leave out `at` or `start`")
        return self


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
