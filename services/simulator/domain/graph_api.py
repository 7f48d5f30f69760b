"""Response bodies of the Graph API: errors, an accepted message, message ids."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from services.kit.ids import uuid7

if TYPE_CHECKING:
    from uuid import UUID

ERRORS: dict[int, tuple[int, str]] = {
    0: (401, "AuthException"),
    1: (500, "API Unknown"),
    2: (503, "API Service"),
    3: (403, "API Method"),
    4: (429, "API Too Many Calls"),
    10: (403, "Permission Denied"),
    33: (400, "Parameter value is not valid"),
    100: (400, "Invalid parameter"),
    190: (401, "Access token has expired"),
    368: (403, "Temporarily blocked for policies violations"),
    80007: (429, "Rate limit issues"),
    130429: (429, "Rate limit hit"),
    130472: (400, "User's number is part of an experiment"),
    130497: (403, "Business account is restricted from messaging users in this country"),
    131000: (500, "Something went wrong"),
    131005: (403, "Access denied"),
    131008: (400, "Required parameter is missing"),
    131009: (400, "Parameter value is not valid"),
    131016: (503, "Service unavailable"),
    131021: (400, "Recipient cannot be sender"),
    131026: (400, "Message undeliverable"),
    131030: (400, "Recipient phone number not in allowed list"),
    131031: (403, "Account has been locked"),
    131037: (400, "Display name approval needed"),
    131042: (400, "Business eligibility payment issue"),
    131045: (500, "Incorrect certificate"),
    131047: (400, "Re-engagement message"),
    131048: (429, "Spam rate limit hit"),
    131049: (400, "Meta chose not to deliver"),
    131050: (400, "User stopped marketing messages"),
    131051: (400, "Unsupported message type"),
    131056: (429, "Pair rate limit hit"),
    131057: (503, "Account in maintenance mode"),
    131064: (429, "Limit reduced after violations"),
    133016: (429, "Too many register or deregister attempts"),
    135000: (500, "Generic user error"),
}
"""Code -> HTTP status and title. Other codes get status 400 and a general title."""


def error_response(code: int, details: str = "") -> tuple[int, dict[str, Any]]:
    """Return HTTP status and body of an error response.

    Args:
        code: error code.
        details: text under `error_data`; the title by default.
    """
    status, title = ERRORS.get(code, (400, "Unknown error"))
    body = {
        "message": f"(#{code}) {title}",
        "type": "OAuthException",
        "code": code,
        "error_data": {"messaging_product": "whatsapp", "details": details or title},
        "fbtrace_id": base64.urlsafe_b64encode(uuid7().bytes[:9]).decode(),
    }
    return status, {"error": body}


def failure_entry(code: int) -> dict[str, Any]:
    """Return the entry of `errors` in a `failed` status."""
    title = ERRORS.get(code, (400, "Unknown error"))[1]
    return {"code": code, "title": title, "message": title, "error_data": {"details": title}}


def make_wamid(message_id: UUID) -> str:
    """Return the opaque provider id of a received message, as unique as its row."""
    return f"wamid.{base64.urlsafe_b64encode(message_id.bytes).decode().rstrip('=')}"


def accepted_response(recipient: str, wamid: str) -> dict[str, Any]:
    """Return the body of a successful send request. It means accepted, not delivered.

    Args:
        recipient: number as the request has it.
        wamid: id of the message.
    """
    return {
        "messaging_product": "whatsapp",
        "contacts": [{"input": recipient, "wa_id": recipient.lstrip("+")}],
        "messages": [{"id": wamid}],
    }
