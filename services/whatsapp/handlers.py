"""Handlers of commands and queries."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from services.contracts import telemetry
from services.kit.errors import ConflictError, ForbiddenError, NotFoundError, UnauthorisedError
from services.kit.observability.metrics import counter, gauge
from services.whatsapp.domain.message_states import MessageState
from services.whatsapp.domain.sending import ReadyConnection
from services.whatsapp.domain.signature import SIGNATURE_HEADER, verify
from services.whatsapp.events import count_states

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from services.whatsapp.commands import PutConnection, ReceiveWebhook, SendReply, VerifySubscription
    from services.whatsapp.domain.connections import ConnectionDetails
    from services.whatsapp.domain.messages import MessageRecord
    from services.whatsapp.ports import ReadyQueue, UnitOfWorkFactory

RECEIVED = counter(telemetry.WEBHOOKS_RECEIVED)
LAST_RECEIVED = gauge(telemetry.WEBHOOK_LAST_RECEIVED)


async def put_connection(command: PutConnection, uow_factory: UnitOfWorkFactory) -> None:
    """Create or change a connection. A suspended connection sends again.

    Args:
        command: the connection.
        uow_factory: starts transactions.

    Raises:
        ConflictError: the number belongs to another company.
    """
    async with uow_factory() as uow:
        owner = await uow.connections.assign_number(command.phone_number_id, command.company)
        if owner != command.company:
            raise ConflictError("this number belongs to another company")
        await uow.connections.put(command)
        await uow.commit()


async def get_connection(company: str, name: str, uow_factory: UnitOfWorkFactory) -> ConnectionDetails:
    """Return a connection with its limits and its load.

    Args:
        company: the tenant.
        name: name of the connection.
        uow_factory: starts transactions; read-only ones will do.

    Raises:
        NotFoundError: the company has no such connection.
    """
    async with uow_factory() as uow:
        connection = await uow.connections.find(company, name)
    if connection is None:
        raise NotFoundError("connection not found")
    return connection


async def send_reply(
    command: SendReply, uow_factory: UnitOfWorkFactory, ready_queue: ReadyQueue, default_rate: float
) -> UUID:
    """Queue a reply; replies are sent before campaign messages of the same connection.

    A reply that would not be sent soon is rejected at once, with the time after which a retry is useful: an
    interactive caller needs to know now.

    Args:
        command: the reply.
        uow_factory: starts transactions.
        ready_queue: notifies the dispatchers.
        default_rate: messages per second of a connection without a rate.

    Returns:
        The message id.

    Raises:
        NotFoundError: the company has no such connection.
        OverloadedError: the reply would wait too long.
        ConflictError: the idempotency key was used for another reply.
    """
    async with uow_factory() as uow:
        existing = await uow.messages.find(command.company, command.message_id)
        if existing is not None:
            return _check_same(command, existing)
        load = await uow.messages.reply_load(command.company, command.connection)
        if load is None:
            name = command.connection
            raise NotFoundError(f"connection {name} not found; create it with PUT /connections/{name}")
        load.check_wait(default_rate, command.ttl_seconds)
        added = await uow.messages.add_reply(command)
        await uow.commit()
    await ready_queue.push([(ReadyConnection(command.company, command.connection, replies=True), 0.0)])
    if added:
        count_states([MessageState.QUEUED])
        return command.message_id
    # A concurrent request with the same key was first.
    return await send_reply(command, uow_factory, ready_queue, default_rate)


async def get_message(company: str, message_id: UUID, uow_factory: UnitOfWorkFactory) -> MessageRecord:
    """Return a message of the company.

    Args:
        company: the tenant.
        message_id: id of the message.
        uow_factory: starts transactions; read-only ones will do.

    Raises:
        NotFoundError: the company has no such message.
    """
    async with uow_factory() as uow:
        message = await uow.messages.find(company, message_id)
    if message is None:
        raise NotFoundError("message not found")
    return message


def verify_subscription(command: VerifySubscription, verify_tokens: Iterable[bytes]) -> str:
    """Return the challenge of a verification request.

    Args:
        command: the request.
        verify_tokens: tokens agreed on with the provider.

    Raises:
        ForbiddenError: the token or the mode is wrong.
    """
    shown = command.verify_token.encode()
    matches = [hmac.compare_digest(shown, token) for token in verify_tokens]
    if command.mode != "subscribe" or not any(matches):
        raise ForbiddenError("invalid verify token")
    return command.challenge


async def receive_webhook(
    command: ReceiveWebhook, uow_factory: UnitOfWorkFactory, app_secrets: Iterable[bytes]
) -> None:
    """Check the signature of a webhook and store its raw body; the webhook processor parses it later.

    Args:
        command: the webhook.
        uow_factory: starts transactions.
        app_secrets: accepted keys of the signature.

    Raises:
        UnauthorisedError: the signature is missing.
        ForbiddenError: the signature is invalid.
    """
    if command.signature is None:
        RECEIVED.labels("rejected").inc()
        raise UnauthorisedError(f"{SIGNATURE_HEADER} is missing")
    if not verify(app_secrets, command.body, command.signature):
        RECEIVED.labels("rejected").inc()
        raise ForbiddenError(f"{SIGNATURE_HEADER} does not match the body")
    async with uow_factory() as uow:
        await uow.webhooks.store(command.body)
        await uow.commit()
    RECEIVED.labels("stored").inc()
    LAST_RECEIVED.set_to_current_time()


def _check_same(command: SendReply, existing: MessageRecord) -> UUID:
    """Return the id of an existing reply if it equals the command."""
    stored = existing.connection, existing.recipient, existing.text
    if stored != (command.connection, command.recipient, command.text):
        raise ConflictError("this Idempotency-Key was used for another message")
    return command.message_id
