"""In-memory sources of the operations page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infra.errors import EsqError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cli.actions.deploy_history import StackRun
    from cli.actions.health import Health
    from cli.actions.open_faults import JournalStatus
    from cli.actions.queue import QueueRow
    from cli.actions.slo import SloReport
    from infra.measurements.report_store import StoredReport


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

    def _value(self, name: str) -> Any:  # noqa: ANN401 - the test chooses the value
        self.calls[name] = self.calls.get(name, 0) + 1
        value = self.values.get(name, EsqError(f"the fake has no {name}"))
        if isinstance(value, Exception):
            raise value
        return value
