"""What the page reads of the observability layer: the port. `ObservabilityClient` implements it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from cli.observability_client import FiringAlert, Series
    from infra.components.observability.spans import Span
    from runbooks.readings import Sample


class Telemetry(Protocol):
    """Metrics, logs, alerts and traces of an environment; every method may raise an EsqError."""

    def metrics_query(self, query: str) -> Sequence[Sample]:
        """Return the result of a query (MetricsQL) now."""

    def metrics_range(
        self, query: str, start: dt.datetime, end: dt.datetime, step_seconds: float
    ) -> Sequence[Series]:
        """Return the results of a query over time.

        Args:
            query: MetricsQL.
            start: time of the first result (UTC).
            end: time of the last result (UTC).
            step_seconds: interval between results.
        """

    def logs_query(
        self, query: str, limit: int, start: dt.datetime | None = None
    ) -> Sequence[dict[str, str]]:
        """Return log entries by field, newest first.

        Args:
            query: LogsQL.
            limit: maximum number of entries.
            start: entries from this time on (UTC).
        """

    def trace(self, trace_id: str) -> Sequence[Span]:
        """Return the spans of a trace by start; empty for one that is unknown or was not sampled."""

    def alerts(self) -> Sequence[FiringAlert]:
        """Return the firing alerts, with the suppressed ones."""
