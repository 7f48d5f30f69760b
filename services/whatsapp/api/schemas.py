"""Request and response bodies."""

from __future__ import annotations

from uuid import UUID  # noqa: TC003 - pydantic reads the annotations when it runs

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from services.contracts.validation import CONNECTION_NAME_PATTERN, MAX_TEXT_LENGTH
from services.kit.http.app import NO_NUL_PATTERN

HOUR_SECONDS = 3600.0


class Connection(BaseModel):
    """A number of the company.

    Attributes:
        phone_number_id: the provider's id of the number.
        messages_per_second: rate that the provider grants; None means the environment's default.
        recipients_per_day: recipients that campaigns may contact within 24 hours; None means no limit. Left
            out, it does not change.
    """

    phone_number_id: str = Field(pattern=r"^\d{1,32}$")
    messages_per_second: float | None = Field(default=None, gt=0, le=2000)
    recipients_per_day: int | None = Field(default=None, ge=1, le=10_000_000)


class ConnectionState(Connection):
    """A connection with its current limits and load.

    Attributes:
        throttle_factor: share of the rate in use; rate limit errors of the provider lower it.
        suspended_until: end of a suspension, null when sending is not suspended.
        recipients_last_24h: recipients that campaigns contacted within 24 hours, where there is a quota.
        pending_messages: queued messages, counted up to 100,000.
    """

    throttle_factor: float
    suspended_until: AwareDatetime | None
    recipients_last_24h: int
    pending_messages: int


class NewReply(BaseModel):
    """A text reply to one recipient; no attempt is started after `ttl_seconds`."""

    model_config = ConfigDict(extra="forbid")

    connection: str = Field(pattern=CONNECTION_NAME_PATTERN)
    to: str = Field(pattern=r"^\+[1-9]\d{7,14}$")
    text: str = Field(min_length=1, max_length=MAX_TEXT_LENGTH, pattern=NO_NUL_PATTERN)
    ttl_seconds: float = Field(default=HOUR_SECONDS, ge=1, le=24 * HOUR_SECONDS)


class ReplyAccepted(BaseModel):
    """The queued message."""

    id: UUID


class Message(BaseModel):
    """A message and its state. `code` and `reason` explain why it failed or waits."""

    id: UUID
    connection: str
    to: str
    state: str
    code: int | None
    reason: str | None
    requested_at: AwareDatetime
    accepted_at: AwareDatetime | None
    sent_at: AwareDatetime | None
    delivered_at: AwareDatetime | None
    read_at: AwareDatetime | None
    failed_at: AwareDatetime | None
