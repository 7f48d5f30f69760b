"""Dependencies of the routes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

if TYPE_CHECKING:
    from services.whatsapp.ports import ReadyQueue, UnitOfWorkFactory


@dataclass(frozen=True)
class ApiDependencies:
    """What the routes need.

    Attributes:
        uow_factory: starts transactions.
        read_only_uow_factory: starts read-only transactions, which a standby may serve.
        ready_queue: notifies the dispatchers.
        default_rate: messages per second of a connection without a rate.
        app_secrets: accepted keys of the webhooks' signature.
        verify_tokens: accepted tokens of the webhook verification request.
    """

    uow_factory: UnitOfWorkFactory
    read_only_uow_factory: UnitOfWorkFactory
    ready_queue: ReadyQueue
    default_rate: float
    app_secrets: tuple[bytes, ...]
    verify_tokens: tuple[bytes, ...]


async def _dependencies(request: Request) -> ApiDependencies:
    dependencies: ApiDependencies = request.app.state.dependencies
    return dependencies


Dependencies = Annotated[ApiDependencies, Depends(_dependencies)]
