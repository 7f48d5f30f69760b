"""Commands of the whatsapp service."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid5

MESSAGE_ID_NAMESPACE = UUID("6f1d3a52-7c0e-5b1e-9a53-3d1f8e6b7c21")
"""Namespace of reply ids, which derive from company and idempotency key. Never changes."""


@dataclass(frozen=True)
class SendReply:
    """Send a reply to one recipient.

    Attributes:
        company: the tenant.
        idempotency_key: idempotency key of the caller; the same key sends once.
        connection: name of the company's connection.
        recipient: phone number of the recipient, E.164 with +.
        text: text of the message, at most 4096 characters.
        ttl_seconds: lifetime in seconds; no attempt is started after it.
    """

    company: str
    idempotency_key: str
    connection: str
    recipient: str
    text: str
    ttl_seconds: float

    @property
    def message_id(self) -> UUID:
        """Message id, derived from company and key: a repeated request has the same id."""
        return uuid5(MESSAGE_ID_NAMESPACE, f"{self.company}\0{self.idempotency_key}")


@dataclass(frozen=True)
class PutConnection:
    """Create or change a connection.

    Attributes:
        company: the tenant.
        name: the company's name of the number.
        phone_number_id: the provider's id of the number.
        messages_per_second: rate that the provider grants; None means the environment's default.
        recipients_per_day: recipients that campaigns may contact within 24 hours; None means no limit.
        keep_quota: whether `recipients_per_day` of an existing connection stays unchanged.
    """

    company: str
    name: str
    phone_number_id: str
    messages_per_second: float | None
    recipients_per_day: int | None
    keep_quota: bool


@dataclass(frozen=True)
class ReceiveWebhook:
    """Store a signed webhook.

    Attributes:
        body: raw body.
        signature: value of the signature header, None when it is missing.
    """

    body: bytes
    signature: str | None


@dataclass(frozen=True)
class VerifySubscription:
    """Answer the provider's verification request for the webhook address.

    Attributes:
        mode: kind of request; always `subscribe`.
        verify_token: token of the request; it must equal a configured one.
        challenge: text to return to the provider.
    """

    mode: str
    verify_token: str
    challenge: str
