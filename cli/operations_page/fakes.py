"""In-memory sources of the operations page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infra.errors import EsqError, UsageError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping, Sequence

    from cli.actions.deploy_history import StackRun
    from cli.actions.health import Health
    from cli.actions.open_faults import JournalStatus
    from cli.actions.pod_logs import LogLine
    from cli.actions.queue import QueueRow
    from cli.actions.slo import SloReport
    from cli.observability_client import FiringAlert, Series
    from cli.operations_page.telemetry import Telemetry
    from infra.components.observability.spans import Span
    from infra.measurements.report_store import StoredReport
    from runbooks.readings import Sample


@dataclass
class FakeTelemetry:
    """An observability layer with fixed contents; see `telemetry.Telemetry`.

    Attributes:
        series: series by query; a query without any has no data.
        samples: samples by query.
        entries: log entries.
        spans: spans of all traces.
        firing: firing alerts.
        error: raised by every method; None for none.
    """

    series: Mapping[str, Sequence[Series]] = field(default_factory=dict)
    samples: Mapping[str, Sequence[Sample]] = field(default_factory=dict)
    entries: Sequence[dict[str, str]] = ()
    spans: Sequence[Span] = ()
    firing: Sequence[FiringAlert] = ()
    error: EsqError | None = None

    def metrics_query(self, query: str) -> Sequence[Sample]:
        """See `Telemetry.metrics_query`."""
        self._require_answer()
        return self.samples.get(query, ())

    def metrics_range(
        self, query: str, start: dt.datetime, end: dt.datetime, step_seconds: float
    ) -> Sequence[Series]:
        """See `Telemetry.metrics_range`; returns all points. Args: as there."""
        del start, end, step_seconds
        self._require_answer()
        return self.series.get(query, ())

    def logs_query(
        self, query: str, limit: int, start: dt.datetime | None = None
    ) -> Sequence[dict[str, str]]:
        """See `Telemetry.logs_query`; finds entries one of whose values is in the query. Args: as there."""
        self._require_answer()
        since = start.isoformat() if start else ""
        matching = [entry for entry in self.entries if any(text in query for text in entry.values() if text)]
        return [entry for entry in matching if entry["_time"] >= since][:limit]

    def trace(self, trace_id: str) -> Sequence[Span]:
        """See `Telemetry.trace`."""
        self._require_answer()
        return [span for span in self.spans if span.trace_id == trace_id]

    def alerts(self) -> Sequence[FiringAlert]:
        """See `Telemetry.alerts`."""
        self._require_answer()
        return self.firing

    def _require_answer(self) -> None:
        if self.error is not None:
            raise self.error


@dataclass
class FakeSources:
    """Sources with fixed values; see `sources.OperationsSources`.

    Attributes:
        values: the result of each method by its name; an exception is raised.
        environment: name of the environment.
        calls: number of calls by method.
    """

    values: dict[str, Any]
    environment: str = "local"
    calls: dict[str, int] = field(default_factory=dict)

    def health(self) -> Health:
        """See `OperationsSources.health`."""
        return self._value("health")  # type: ignore[no-any-return]  # the test chooses the value

    def queues(self) -> Sequence[QueueRow]:
        """See `OperationsSources.queues`."""
        return self._value("queues")  # type: ignore[no-any-return]  # same

    def campaigns(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """See `OperationsSources.campaigns`."""
        return self._value("campaigns")  # type: ignore[no-any-return]  # same

    def slos(self) -> Sequence[SloReport]:
        """See `OperationsSources.slos`."""
        return self._value("slos")  # type: ignore[no-any-return]  # same

    def journal(self) -> JournalStatus:
        """See `OperationsSources.journal`."""
        return self._value("journal")  # type: ignore[no-any-return]  # same

    def experiments(self) -> Sequence[StoredReport]:
        """See `OperationsSources.experiments`."""
        return self._value("experiments")  # type: ignore[no-any-return]  # same

    def deploys(self) -> Sequence[StackRun]:
        """See `OperationsSources.deploys`."""
        return self._value("deploys")  # type: ignore[no-any-return]  # same

    def telemetry(self) -> Telemetry:
        """See `OperationsSources.telemetry`."""
        return self._value("telemetry")  # type: ignore[no-any-return]  # same

    def log_lines(self, age: dt.timedelta) -> Iterable[LogLine]:
        """See `OperationsSources.log_lines`; ignores the age."""
        del age
        return self._value("log_lines")  # type: ignore[no-any-return]  # same

    def runbook(self, name: str) -> str:
        """See `OperationsSources.runbook`."""
        if name not in self.values["runbooks"]:
            raise UsageError(f"there is no runbook `{name}`")
        return str(self.values["runbooks"][name])

    def _value(self, name: str) -> Any:  # noqa: ANN401 - the test chooses the value
        self.calls[name] = self.calls.get(name, 0) + 1
        value = self.values.get(name, EsqError(f"the fake has no {name}"))
        if isinstance(value, Exception):
            raise value
        return value
