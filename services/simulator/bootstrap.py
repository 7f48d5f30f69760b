"""Puts the simulator together."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from services.kit.auth import Tokens
from services.kit.client import open_client
from services.kit.database import open_database
from services.kit.health import Health
from services.kit.http import create_app
from services.kit.process import Parts
from services.kit.tasks import Task
from services.simulator.adapters import cloud_face, ledger_face
from services.simulator.adapters.callbacks import POSTS, Postman, Receiver
from services.simulator.adapters.cloud_face import Face
from services.simulator.adapters.controls import Controls
from services.simulator.adapters.ledger import Ledger

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from services.simulator.settings import SimulatorSettings

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


async def assemble_api(settings: SimulatorSettings, stack: AsyncExitStack) -> Parts:
    """Open the database and the way to the callback's receiver; offer both faces."""
    database = await stack.enter_async_context(open_database(settings, settings))
    client = await stack.enter_async_context(
        open_client(settings, seconds=settings.callback_seconds, connections=POSTS)
    )
    health = Health()
    health.add("database", database.reason, shared=True)
    controls = Controls(database, settings.initial_behaviour())
    ledger = Ledger(database)
    receiver = Receiver(str(settings.callback_url), settings.app_secret.get_secret_value().encode())
    app = create_app(
        "esq simulator",
        health,
        routers=[ledger_face.router],
        tokens=Tokens(settings.token_key.get_secret_value()),
    )
    # Added last: it takes every path that nothing else has taken.
    app.add_api_route(
        "/{path:path}", cloud_face.unknown, methods=METHODS, include_in_schema=False, response_model=None
    )
    token = settings.cloud_api_token.get_secret_value().encode()
    # The draws decide which faults a test sees; nothing secret hangs on them.
    app.state.face = face = Face(ledger, controls, token, Random(settings.seed))  # noqa: S311 - see above
    tasks = (
        Task("ledger", ledger.run),
        Task("controls", controls.run),
        Task("callbacks", Postman(database, client, receiver, controls).run),
    )
    return Parts(cloud_face.Sends(app, face), health, tasks)
