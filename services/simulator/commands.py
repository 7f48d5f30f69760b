"""Commands of the simulator."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SendMessage:
    """Receive a text message, or inject a fault.

    Attributes:
        phone_number_id: sending number.
        recipient: digits of the recipient's number.
        client_reference: the client's `biz_opaque_callback_data`, None without one.
    """

    phone_number_id: str
    recipient: str
    client_reference: str | None
