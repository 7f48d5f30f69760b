"""The page of an environment: its server with all panels and views."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from cli.operations_page.panels import build_panels
from cli.operations_page.rendering import render, snapshot_json
from cli.operations_page.server import OperationsApp, OperationsServer
from cli.operations_page.snapshot import Snapshot
from cli.operations_page.sources import EnvironmentSources
from cli.operations_page.views import Views
from infra.errors import EsqError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cli.environment import Environment
    from cli.operations_page.sources import OperationsSources


def build_app(sources: OperationsSources) -> OperationsApp:
    """Return what the server answers for an environment."""
    snapshot = Snapshot(build_panels(sources))
    return OperationsApp(
        render("page", environment=sources.environment),
        lambda: snapshot_json(sources.environment, snapshot.views()),
        Views(sources).view_json,
    )


@contextmanager
def open_server(environment: Environment, companies: Sequence[str], port: int) -> Iterator[OperationsServer]:
    """Open the server of an environment's page.

    Args:
        environment: the environment.
        companies: companies whose campaigns are shown.
        port: port on 127.0.0.1; 0 for a free one.

    Yields:
        The server, which listens but does not answer yet.

    Raises:
        EsqError: the port is in use.
    """
    with ExitStack() as closing:
        app = build_app(EnvironmentSources(environment, companies, closing))
        try:
            server = closing.enter_context(OperationsServer(app, port))
        except OSError as error:
            raise EsqError(
                f"port {port} cannot be used: {error.strerror}",
                location="--port",
                remedy="Name another port, or none.",
            ) from error
        yield server
