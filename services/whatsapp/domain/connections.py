"""Connections: WhatsApp numbers of companies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True)
class ConnectionDetails:
    """A connection with its limits and its load.

    Attributes:
        phone_number_id: the provider's id of the number.
        messages_per_second: rate that the provider grants; None means the environment's default.
        recipients_per_day: recipients that campaigns may contact within 24 hours; None means no limit.
        throttle_factor: share of the rate in use; rate limit errors of the provider lower it.
        suspended_until: end of a suspension, None when sending is not suspended.
        recipients_last_24h: recipients that campaigns contacted within 24 hours, where there is a quota.
        pending_messages: queued messages, counted up to a limit.
    """

    phone_number_id: str
    messages_per_second: float | None
    recipients_per_day: int | None
    throttle_factor: float
    suspended_until: datetime | None
    recipients_last_24h: int
    pending_messages: int
