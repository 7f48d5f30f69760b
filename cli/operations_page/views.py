"""What the page shows on demand: a trace, log lines, a runbook."""

from __future__ import annotations

import datetime as dt
import threading
from typing import TYPE_CHECKING, Any

from cli.operations_page.log_search import POD_LOGS_AGE, search_lines, search_logs
from cli.operations_page.panel import NotDeployedError
from cli.operations_page.rendering import render
from cli.operations_page.waterfall import require_trace_id, trace_html
from infra.errors import UnreachableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cli.operations_page.sources import OperationsSources


MAX_CONCURRENT_VIEWS = 2
"""Views are not shared by the viewers as panels are: this bounds their load on the environment."""
MAX_WAIT_SECONDS = 10.0


class Views:
    """The views of a page, by name.

    Args:
        sources: the environment.
    """

    def __init__(self, sources: OperationsSources) -> None:
        self._sources = sources
        self._running = threading.BoundedSemaphore(MAX_CONCURRENT_VIEWS)
        self._views: Mapping[str, Callable[[str], str]] = {
            "trace": self._trace,
            "logs": self._logs,
            "runbook": self._runbook,
        }

    def view_json(self, name: str, argument: str) -> dict[str, Any]:
        """Return a view as the page reads it.

        Args:
            name: name of the view.
            argument: what it shows, e.g. the id of a trace.

        Raises:
            UsageError: there is no such view.
            EsqError: its source cannot be read, or too many views are being read.
        """
        if name not in self._views:
            raise UsageError(f"there is no view `{name}`")
        if not self._running.acquire(timeout=MAX_WAIT_SECONDS):
            raise UnreachableError(
                f"{MAX_CONCURRENT_VIEWS} other requests are running", remedy="Repeat it in some seconds."
            )
        try:
            return {"html": self._views[name](argument)}
        finally:
            self._running.release()

    def _trace(self, argument: str) -> str:
        trace_id = require_trace_id(argument)
        return trace_html(trace_id, self._sources.telemetry().trace(trace_id))

    def _logs(self, argument: str) -> str:
        try:
            return search_logs(self._sources.telemetry(), argument, dt.datetime.now(dt.UTC))
        except NotDeployedError:
            return search_lines(self._sources.log_lines(POD_LOGS_AGE), argument)

    def _runbook(self, argument: str) -> str:
        return render("runbook", text=self._sources.runbook(argument))
