"""The WhatsApp Cloud API as an engine.

An error answer of the API itself (a JSON object with `error.code`) is definite. What comes from something in
between is not: a gateway's 502 may stand for a request that arrived.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import aiohttp

from services.kit.client import NOT_REACHED
from services.whatsapp.domain import Accepted, NotReached, Refused, Unknown

if TYPE_CHECKING:
    from services.whatsapp.domain import Claim, Outcome

LONGEST_REASON = 256
SERVER_ERROR = 500
CLIENT_ERROR = 400


class CloudApiEngine:
    """Sends text messages by `POST /{phone_number_id}/messages`."""

    def __init__(self, client: aiohttp.ClientSession, base_url: str, token: str) -> None:
        """Set up the engine.

        Args:
            client: with as many connections as calls are made at once, and the longest that one may take.
            base_url: with the version, e.g. `https://graph.facebook.com/v25.0`.
            token: bearer token of the numbers.
        """
        self._client = client
        self._base = base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    async def send(self, claim: Claim) -> Outcome:
        """See `Engine`."""
        url = f"{self._base}/{claim.phone_number_id}/messages"
        try:
            async with self._client.post(url, data=_body(claim), headers=self._headers) as response:
                return read_answer(response.status, await response.read())
        except NOT_REACHED as error:
            return NotReached(_reason(error))
        except (aiohttp.ClientError, TimeoutError) as error:
            return Unknown(_reason(error))


def read_answer(status: int, content: bytes) -> Outcome:
    """Say what an answer means."""
    document = _document(content)
    error = document.get("error")
    if isinstance(error, dict) and isinstance(error.get("code"), int):
        return Refused(error["code"], _error_text(error))
    if status >= SERVER_ERROR:
        return Unknown(f"answered with {status} by something in between")
    if status >= CLIENT_ERROR:
        return NotReached(f"answered with {status} by something that is not the Cloud API")
    match document:
        case {"messages": [{"id": str(provider_id)}, *_]}:
            return Accepted(provider_id)
    return Unknown(f"answered with {status} and no message id")


def _body(claim: Claim) -> bytes:
    document = {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": claim.recipient,
        "type": "text",
        "text": {"body": claim.text},
        "biz_opaque_callback_data": str(claim.message_id),
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _document(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _error_text(error: dict[str, Any]) -> str:
    """Return the API's own words; `error_data` is an object or a plain text."""
    data = error.get("error_data")
    details = data.get("details") if isinstance(data, dict) else data
    return ": ".join(str(part) for part in (error.get("message"), details) if part)[:LONGEST_REASON]


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:LONGEST_REASON].rstrip(": ")
