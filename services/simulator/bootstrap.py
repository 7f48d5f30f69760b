"""Composition of the simulator; the only place that chooses adapters."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from services.kit.background_tasks import BackgroundTask
from services.kit.http.app import create_app
from services.kit.http.auth import JwtTokens
from services.kit.http.client import open_http_client
from services.kit.observability.health import Health
from services.kit.postgres.database import open_database
from services.kit.runtime import ServiceComponents
from services.kit.settings import secret_values
from services.simulator.adapters.fault_config import FaultConfigStore
from services.simulator.adapters.ledger import PostgresLedgerStore
from services.simulator.adapters.webhook_client import HttpWebhookClient, WebhookTarget
from services.simulator.adapters.webhook_schedule import PostgresWebhookSchedule
from services.simulator.api import routes_admin
from services.simulator.api.dependencies import ApiDependencies
from services.simulator.api.routes_cloud_api import SendFastPath, unsupported_path
from services.simulator.jobs.fault_config_refresher import FaultConfigRefresher
from services.simulator.jobs.ledger_writer import LedgerWriter
from services.simulator.jobs.webhook_sender import MAX_CONCURRENT_POSTS, WebhookSender

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from services.simulator.settings import SimulatorSettings

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


async def build_api(settings: SimulatorSettings, stack: AsyncExitStack) -> ServiceComponents:
    """Build the whole simulator.

    Args:
        settings: settings of the process.
        stack: closes what is opened here.

    Returns:
        The application, its health checks and its background tasks.
    """
    database = await stack.enter_async_context(open_database(settings, settings))
    client = await stack.enter_async_context(
        open_http_client(
            settings,
            timeout_seconds=settings.webhook_timeout_seconds,
            max_connections=MAX_CONCURRENT_POSTS,
        )
    )
    health = Health()
    health.add("database", database.readiness_problem, shared=True)
    fault_configs = FaultConfigStore(database, settings.initial_fault_config())
    ledger_store = PostgresLedgerStore(database)
    ledger = LedgerWriter(ledger_store)
    target = WebhookTarget(str(settings.webhook_url), secret_values(settings.app_secrets)[0].encode())
    sender = WebhookSender(
        PostgresWebhookSchedule(database), HttpWebhookClient(client, target), fault_configs
    )
    app = create_app(
        "esq simulator",
        health,
        routers=[routes_admin.router],
        tokens=JwtTokens(*secret_values(settings.token_keys)),
    )
    # Added last: it matches every path that no other route matches.
    app.add_api_route(
        "/{path:path}", unsupported_path, methods=METHODS, include_in_schema=False, response_model=None
    )
    app.state.dependencies = dependencies = ApiDependencies(
        ledger=ledger,
        ledger_store=ledger_store,
        fault_configs=fault_configs,
        tokens=tuple(token.encode() for token in secret_values(settings.cloud_api_tokens)),
        rng=Random(settings.seed),  # noqa: S311 - only draws faults and statuses
    )
    tasks = (
        BackgroundTask("ledger writer", ledger.run),
        BackgroundTask("fault config refresher", FaultConfigRefresher(fault_configs).run),
        BackgroundTask("webhook sender", sender.run),
    )
    return ServiceComponents(SendFastPath(app, dependencies), health, tasks)
