"""Requests of the messages endpoint: text messages and mark-as-read; others are rejected as the API does."""

from __future__ import annotations

import json
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

UNSUPPORTED_TYPE = 131051
MISSING_PARAMETER = 131008
INVALID_PARAMETER = 131009
INVALID_REQUEST = 100


class InvalidRequestError(Exception):
    """The request violates the contract of the Cloud API; `code` and `details` describe how."""

    def __init__(self, code: int, details: str) -> None:
        super().__init__(details)
        self.code = code
        self.details = details


class TextBody(BaseModel):
    """The object under `text`; at most 4096 characters."""

    body: str = Field(min_length=1, max_length=4096)
    preview_url: bool = False


class SendRequest(BaseModel):
    """A text message to one person."""

    messaging_product: Literal["whatsapp"]
    recipient_type: Literal["individual"] = "individual"
    to: str = Field(pattern=r"^\+?\d{5,20}$")
    type: Literal["text"] = "text"
    text: TextBody
    biz_opaque_callback_data: str | None = Field(default=None, max_length=512)


class MarkAsReadRequest(BaseModel):
    """Marks an incoming message as read."""

    messaging_product: Literal["whatsapp"]
    status: Literal["read"]
    message_id: str = Field(min_length=1)


def parse_request(raw: bytes) -> SendRequest | MarkAsReadRequest:
    """Parse the body of `POST /{phone_number_id}/messages`.

    Returns:
        The message to send, or the message to mark as read.

    Raises:
        InvalidRequestError: the request is invalid; has the error code of the Cloud API.
    """
    try:
        document = json.loads(raw)
    except ValueError as error:
        raise InvalidRequestError(INVALID_REQUEST, "the body is not JSON") from error
    if not isinstance(document, dict):
        raise InvalidRequestError(INVALID_REQUEST, "the body is not an object")
    if document.get("type", "text") != "text":
        raise InvalidRequestError(UNSUPPORTED_TYPE, "only text messages are simulated")
    model = MarkAsReadRequest if "status" in document else SendRequest
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        code = MISSING_PARAMETER if first["type"] == "missing" else INVALID_PARAMETER
        raise InvalidRequestError(code, f"{field}: {first['msg']}") from error
