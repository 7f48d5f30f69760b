"""What the page reads of an environment: the port, and its implementation for a real one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from cli.actions import open_faults
from cli.actions.campaign_admin import list_campaigns
from cli.actions.chaos import report_store
from cli.actions.deploy_history import deploy_history
from cli.actions.deployment_target import open_deployed_target
from cli.actions.health import collect_health
from cli.actions.platform_access import open_platform
from cli.actions.pod_logs import read_logs
from cli.actions.queue import OPERATOR_TENANT, list_queues, queue_row
from cli.actions.runbook_pages import environment_values, find_page, page_text
from cli.actions.slo import evaluate_slos, measurement_store
from cli.actions.workloads import find_workloads
from cli.observability_client import ObservabilityClient
from cli.operations_page.panel import NotDeployedError
from cli.operations_page.shared_reading import FirstSuccess, SharedReading
from infra.progress import RecordingProgress

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import ExitStack

    from cli.actions.deploy_history import StackRun
    from cli.actions.health import Health
    from cli.actions.open_faults import JournalStatus
    from cli.actions.pod_logs import LogLine
    from cli.actions.queue import QueueRow
    from cli.actions.slo import SloReport
    from cli.environment import Environment
    from cli.operations_page.telemetry import Telemetry
    from cli.platform_client import PlatformClient
    from infra.measurements.report_store import StoredReport

HEALTH_INTERVAL_SECONDS = 4.0
"""One reading of the health serves all of its panels."""
FAILURE_INTERVAL_SECONDS = 4.0
"""Time until a failed attempt to open the environment is repeated."""
REQUEST_TIMEOUT_SECONDS = 5.0
MAX_CAMPAIGNS = 10
"""Campaigns per company, the newest ones."""


class OperationsSources(Protocol):
    """An environment, as the page reads it. Thread-safe; every method may raise an EsqError."""

    @property
    def environment(self) -> str:
        """Name of the environment."""

    def health(self) -> Health:
        """Return the health of nodes, data, backups, services and endpoints."""

    def queues(self) -> Sequence[QueueRow]:
        """Return the job queues."""

    def campaigns(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """Return the newest campaigns of the companies that the page was opened for."""

    def slos(self) -> Sequence[SloReport]:
        """Return the measured SLOs."""

    def journal(self) -> JournalStatus:
        """Return the open faults and the run of an experiment in progress."""

    def experiments(self) -> Sequence[StoredReport]:
        """Return when experiments were run."""

    def deploys(self) -> Sequence[StackRun]:
        """Return the last runs of the engine."""

    def telemetry(self) -> Telemetry:
        """Return the observability layer; raises NotDeployedError without one."""

    def log_lines(self, age: dt.timedelta) -> Iterable[LogLine]:
        """Return the log lines of the services' pods, not older than an age."""

    def runbook(self, name: str) -> str:
        """Return the text of a runbook, with the names of the environment."""


Opened = TypeVar("Opened")


def _opened(function: Callable[[], Opened]) -> FirstSuccess[Opened]:
    """Return what a function opens, once it succeeds; callers share a failure and do not repeat it."""
    return FirstSuccess(SharedReading(function, FAILURE_INTERVAL_SECONDS))


class EnvironmentSources:
    """A real environment.

    Args:
        environment: the environment.
        companies: companies whose campaigns are shown.
        closing: closes the connections at its end.
    """

    def __init__(self, environment: Environment, companies: Sequence[str], closing: ExitStack) -> None:
        self._environment = environment
        self._companies = companies
        self._target = _opened(lambda: open_deployed_target(environment, RecordingProgress()))
        self._platform = _opened(
            lambda: closing.enter_context(open_platform(environment, RecordingProgress()))
        )
        self._telemetry = _opened(self._open_telemetry)
        self._health = SharedReading(lambda: collect_health(self._target()), HEALTH_INTERVAL_SECONDS)

    @property
    def environment(self) -> str:
        """See `OperationsSources.environment`."""
        return self._environment.name

    def health(self) -> Health:
        """See `OperationsSources.health`."""
        return self._health()

    def queues(self) -> Sequence[QueueRow]:
        """See `OperationsSources.queues`."""
        return [queue_row(queue) for queue in list_queues(self._client(OPERATOR_TENANT))]

    def campaigns(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """See `OperationsSources.campaigns`."""
        if not self._companies:
            raise NotDeployedError(
                "no company was named, and campaigns are read per company",
                remedy=f"Open the page with `esq open {self.environment} --company NAME`.",
            )
        return {company: list_campaigns(self._client(company), MAX_CAMPAIGNS) for company in self._companies}

    def slos(self) -> Sequence[SloReport]:
        """See `OperationsSources.slos`."""
        return evaluate_slos(measurement_store(self._environment))

    def journal(self) -> JournalStatus:
        """See `OperationsSources.journal`."""
        return open_faults.journal_status(open_faults.open_journal(self._environment))

    def experiments(self) -> Sequence[StoredReport]:
        """See `OperationsSources.experiments`."""
        return report_store(self._environment).stored()

    def deploys(self) -> Sequence[StackRun]:
        """See `OperationsSources.deploys`."""
        return deploy_history(self._target())

    def telemetry(self) -> Telemetry:
        """See `OperationsSources.telemetry`."""
        return self._telemetry()

    def log_lines(self, age: dt.timedelta) -> Iterable[LogLine]:
        """See `OperationsSources.log_lines`."""
        return read_logs(self._target().kubeconfig, find_workloads([]), round(age.total_seconds()))

    def runbook(self, name: str) -> str:
        """See `OperationsSources.runbook`."""
        return page_text(find_page(name), environment_values(self.environment))

    def _open_telemetry(self) -> Telemetry:
        client = ObservabilityClient(self._target().kubeconfig)
        if not client.is_deployed():
            raise NotDeployedError(
                "the observability layer is not deployed",
                remedy=f"Deploy it: `esq deploy {self.environment} --layer observability`.",
            )
        return client

    def _client(self, company: str) -> PlatformClient:
        return self._platform().client_for(company, REQUEST_TIMEOUT_SECONDS)
