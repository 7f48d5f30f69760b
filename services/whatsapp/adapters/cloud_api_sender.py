"""Client of the WhatsApp Cloud API. See `ports.MessageSender`.

An error response of the API itself (a JSON object with `error.code`) is definite. An error of an intermediary
is not: a gateway's 502 may belong to a request that arrived.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp

from services.contracts.telemetry import Attribute
from services.kit.http.client import CONNECT_ERRORS
from services.kit.observability import tracing
from services.whatsapp.domain.sending import Accepted, NotSent, Rejected, Unknown

if TYPE_CHECKING:
    from services.whatsapp.domain.sending import LeasedMessage, SendOutcome

MAX_REASON_LENGTH = 256
SERVER_ERROR = 500
CLIENT_ERROR = 400


class CloudApiSender:
    """Sends text messages by `POST /{phone_number_id}/messages`."""

    def __init__(self, client: aiohttp.ClientSession, base_url: str, token: str) -> None:
        """Set up the sender.

        Args:
            client: HTTP client; it has a connection for each concurrent call, and the timeout of one call.
            base_url: base URL with the version, e.g. `https://graph.facebook.com/v25.0`.
            token: bearer token of the numbers.
        """
        self._client = client
        self._base_url = base_url.rstrip("/")
        self._server = urlsplit(base_url).hostname or ""
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    async def send(self, message: LeasedMessage) -> SendOutcome:
        """See `ports.MessageSender.send`."""
        url = f"{self._base_url}/{message.phone_number_id}/messages"
        try:
            with tracing.client_span("POST", self._server) as span:
                headers = self._headers | tracing.trace_headers()
                async with self._client.post(url, data=_request_body(message), headers=headers) as response:
                    span.set_attribute(Attribute.STATUS, response.status)
                    return parse_response(response.status, await response.read())
        except CONNECT_ERRORS as error:
            return NotSent(_reason(error))
        except (aiohttp.ClientError, TimeoutError) as error:
            return Unknown(_reason(error))


def parse_response(status: int, content: bytes) -> SendOutcome:
    """Return the outcome that a response means.

    Args:
        status: HTTP status.
        content: body.
    """
    document = _json_object(content)
    error = document.get("error")
    if isinstance(error, dict) and isinstance(error.get("code"), int):
        return Rejected(error["code"], _error_text(error))
    if status >= SERVER_ERROR:
        return Unknown(f"HTTP {status} from an intermediary")
    if status >= CLIENT_ERROR:
        return NotSent(f"HTTP {status} from a server that is not the Cloud API")
    match document:
        case {"messages": [{"id": str(provider_id)}, *_]}:
            return Accepted(provider_id)
    return Unknown(f"HTTP {status} without a message id")


def _request_body(message: LeasedMessage) -> bytes:
    document = {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": message.recipient,
        "type": "text",
        "text": {"body": message.text},
        "biz_opaque_callback_data": str(message.message_id),
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _error_text(error: dict[str, Any]) -> str:
    """Return the API's own text; `error_data` is an object or a plain text."""
    data = error.get("error_data")
    details = data.get("details") if isinstance(data, dict) else data
    return ": ".join(str(part) for part in (error.get("message"), details) if part)[:MAX_REASON_LENGTH]


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:MAX_REASON_LENGTH].rstrip(": ")
