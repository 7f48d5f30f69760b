"""Puts the service together: the only place that chooses adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.contacts.adapters.postgres import PostgresContacts
from services.contacts.entrypoints.routes import router
from services.kit.auth import Tokens
from services.kit.database import open_database
from services.kit.health import Health
from services.kit.http import create_app
from services.kit.process import Parts

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from fastapi import FastAPI

    from services.contacts.ports import Contacts
    from services.contacts.settings import Settings


async def assemble_api(settings: Settings, stack: AsyncExitStack) -> Parts:
    """Build the API on Postgres."""
    health = Health()
    database = await stack.enter_async_context(open_database(settings, settings))
    health.add("database", database.reason, shared=True)
    return Parts(build_app(settings, health, PostgresContacts(database)), health)


def build_app(settings: Settings, health: Health, contacts: Contacts) -> FastAPI:
    """Build the HTTP face on any store."""
    app = create_app(
        "esq contacts",
        health,
        routers=[router],
        tokens=Tokens(settings.token_key.get_secret_value()),
        body_bytes={"/contacts/imports": settings.import_bytes},
    )
    app.state.contacts = contacts
    app.state.country = settings.default_country
    return app
