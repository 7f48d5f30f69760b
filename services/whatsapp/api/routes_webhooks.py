"""Routes of webhooks, called by the provider."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import PlainTextResponse, Response

from services.whatsapp import handlers
from services.whatsapp.api.dependencies import Dependencies  # noqa: TC001 - FastAPI reads the annotations
from services.whatsapp.commands import ReceiveWebhook, VerifySubscription
from services.whatsapp.domain.signature import SIGNATURE_HEADER

WEBHOOK_PATH = "/webhooks/cloud"
MAX_WEBHOOK_BYTES = 3 << 20
"""The provider's own limit."""
router = APIRouter(tags=["webhooks"])


@router.get(WEBHOOK_PATH, response_class=PlainTextResponse)
async def verify_webhook(
    dependencies: Dependencies,
    mode: Annotated[str, Query(alias="hub.mode")],
    challenge: Annotated[str, Query(alias="hub.challenge", max_length=256)],
    token: Annotated[str, Query(alias="hub.verify_token")],
) -> PlainTextResponse:
    """Answer the provider's verification request."""
    command = VerifySubscription(mode, token, challenge)
    return PlainTextResponse(handlers.verify_subscription(command, dependencies.verify_tokens))


@router.post(WEBHOOK_PATH)
async def receive_webhook(request: Request, dependencies: Dependencies) -> Response:
    """Store a signed webhook as received; it is processed later."""
    signature = request.headers.get(SIGNATURE_HEADER)
    # The body of an unsigned request is not read.
    body = b"" if signature is None else await request.body()
    command = ReceiveWebhook(body, signature)
    await handlers.receive_webhook(command, dependencies.uow_factory, dependencies.app_secrets)
    return Response()
