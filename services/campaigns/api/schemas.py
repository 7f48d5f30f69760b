"""Request and response bodies of the campaigns API, with their limits."""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - pydantic reads the annotations
from typing import TYPE_CHECKING, Annotated, Self
from uuid import UUID  # noqa: TC003 - pydantic reads the annotations

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from services.campaigns.commands import CampaignSpec
from services.campaigns.domain.lifecycle import CampaignState, MissedStartPolicy
from services.campaigns.domain.schedule_rules import Schedule
from services.campaigns.domain.send_windows import SendWindow
from services.contracts.validation import CONNECTION_NAME_PATTERN, MAX_TEXT_LENGTH
from services.kit.http.app import NO_NUL_PATTERN

if TYPE_CHECKING:
    from services.campaigns.commands import CampaignProgress, MessageResult

VariableName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Text = Annotated[str, Field(max_length=MAX_TEXT_LENGTH)]


class SendWindowBody(BaseModel):
    """Send window: local hours of a time zone on days of the week; 0 is Monday.

    It ends on the next day when `ends` is not after `starts`.
    """

    model_config = ConfigDict(extra="forbid")

    time_zone: str = Field(max_length=64)
    days: frozenset[int] = frozenset(range(7))
    starts: dt.time
    ends: dt.time

    def to_window(self) -> SendWindow:
        """Return the domain object."""
        starts, ends = self.starts.replace(tzinfo=None), self.ends.replace(tzinfo=None)
        return SendWindow(self.time_zone, self.days, starts, ends)


class UpdateCampaignBody(BaseModel):
    """Fields of a campaign; `{name}` in the text is replaced by the contact's name.

    The campaign starts at `start_at`, or manually. If it cannot be started within five minutes of `start_at`,
    `missed_start_policy` applies: start late, cancel or revert to draft. Outside of `window` it waits;
    messages unsent at `expires_at` are never sent. Each contact gets one of the text and its `text_variants`.
    `variables` are the values of further placeholders; the variable `name` is the fallback for contacts
    without a name.
    """

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100, pattern=NO_NUL_PATTERN)
    list: str = Field(min_length=1, max_length=100, pattern=NO_NUL_PATTERN)
    text: Text = Field(min_length=1)
    connection: str = Field(pattern=CONNECTION_NAME_PATTERN)
    text_variants: tuple[Text, ...] = Field(default=(), max_length=20)
    variables: dict[VariableName, Annotated[str, Field(max_length=500)]] = Field(default={}, max_length=50)
    start_at: AwareDatetime | None = None
    missed_start_policy: MissedStartPolicy | None = None
    window: SendWindowBody | None = None
    expires_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _policy_requires_start_at(self) -> Self:
        if self.missed_start_policy is not None and self.start_at is None:
            raise ValueError("`missed_start_policy` requires `start_at`")
        return self

    def to_spec(self, company: str) -> CampaignSpec:
        """Return the domain object."""
        schedule = Schedule(
            start_at=self.start_at,
            missed_start_policy=self.missed_start_policy or MissedStartPolicy.START_LATE,
            window=self.window.to_window() if self.window else None,
            expires_at=self.expires_at,
        )
        return CampaignSpec(
            company=company,
            name=self.name,
            list_name=self.list,
            text=self.text,
            connection=self.connection,
            text_variants=self.text_variants,
            variables=self.variables,
            schedule=schedule,
        )


class CreateCampaignBody(UpdateCampaignBody):
    """Fields of a new campaign; it starts at once, unless `start` is false or `start_at` is set."""

    start: bool = True

    @model_validator(mode="after")
    def _start_at_excludes_manual_start(self) -> Self:
        if self.start_at is not None and not self.start:
            raise ValueError("`start_at` and `start: false` exclude each other")
        return self


class CreatedResponse(BaseModel):
    """The created campaign."""

    id: UUID


class CampaignResponse(BaseModel):
    """A campaign with its state and counts.

    `total` is null until the list was read for the first time. `failure` is the reason why planning failed,
    `status_reason` the reason of the last automatic change. `run` is the number of resumptions.
    """

    id: UUID
    name: str
    state: CampaignState
    failure: str | None
    planned: int
    total: int | None
    counts: dict[str, int]
    start_at: AwareDatetime | None
    run: int
    status_reason: str | None

    @classmethod
    def from_progress(cls, progress: CampaignProgress) -> CampaignResponse:
        """Return the response body of a campaign."""
        return cls(
            id=progress.campaign.id,
            name=progress.campaign.name,
            state=progress.state,
            failure=progress.failure,
            planned=progress.planned,
            total=progress.total,
            counts={state.label: count for state, count in sorted(progress.counts.items())},
            start_at=progress.schedule.start_at,
            run=progress.campaign.run,
            status_reason=progress.status_reason,
        )


class CampaignPage(BaseModel):
    """A page of campaigns, newest first; pass `next` as `before` for the next page; null on the last page."""

    campaigns: list[CampaignResponse]
    next: UUID | None


class MessageResponse(BaseModel):
    """A message with its contact and state."""

    id: UUID
    contact_id: UUID
    state: str
    state_changed_at: AwareDatetime | None

    @classmethod
    def from_result(cls, result: MessageResult) -> MessageResponse:
        """Return the response body of a message."""
        return cls(
            id=result.message_id,
            contact_id=result.contact_id,
            state=result.state.label,
            state_changed_at=result.state_changed_at,
        )


class MessagePage(BaseModel):
    """A page of messages; pass `next` as `after` for the next page; null on the last page."""

    messages: list[MessageResponse]
    next: UUID | None
