"""Composition root of the contacts service: the only module that chooses adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.contacts.adapters.postgres import PostgresContactRepository
from services.contacts.api.routes import router
from services.kit.http.app import create_app
from services.kit.http.auth import JwtTokens
from services.kit.observability.health import Health
from services.kit.postgres.database import open_database
from services.kit.runtime import ServiceComponents
from services.kit.settings import secret_values

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from fastapi import FastAPI

    from services.contacts.ports import ContactRepository
    from services.contacts.settings import ApiSettings


async def build_api(settings: ApiSettings, stack: AsyncExitStack) -> ServiceComponents:
    """Build the API process on Postgres.

    Args:
        settings: settings of the process.
        stack: closes the opened resources at the end.

    Returns:
        The components of the process.
    """
    health = Health()
    database = await stack.enter_async_context(open_database(settings, settings))
    health.add("database", database.readiness_problem, shared=True)
    return ServiceComponents(build_app(settings, health, PostgresContactRepository(database)), health)


def build_app(settings: ApiSettings, health: Health, contacts: ContactRepository) -> FastAPI:
    """Build the HTTP application.

    Args:
        settings: settings of the process.
        health: answers the readiness probe.
        contacts: stores lists and contacts.

    Returns:
        The application.
    """
    app = create_app(
        "esq contacts",
        health,
        routers=[router],
        tokens=JwtTokens(*secret_values(settings.token_keys)),
        max_body_bytes={"/contacts/imports": settings.import_bytes},
    )
    app.state.contacts = contacts
    app.state.country = settings.default_country
    return app
