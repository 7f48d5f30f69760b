"""State of the observability layer for `esq status`: targets that are scraped, and alerts that fire."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from cli.observability_client import ObservabilityClient
from infra.components.observability import RULES_PORT
from infra.components.observability.scraped_metrics import LAYER
from infra.errors import EsqError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from runbooks.readings import Sample

UP, _ALL = "sum(up)", "count(up)"
EVALUATORS = f'sum(up{{job="{LAYER.name}", instance=~".+:{RULES_PORT}"}})'
_FAILED = "sum(increase(alertmanager_notification_requests_failed_total[5m]))"


class MetricsClient(Protocol):
    """What is needed of the observability layer."""

    def metrics_query(self, query: str) -> Sequence[Sample]:
        """Return the result of a query (MetricsQL) now."""


@dataclass(frozen=True)
class LayerStatus:
    """State of the layer.

    Attributes:
        targets_up: targets whose last scrape succeeded.
        targets: all targets.
        alerts: names of the alerts that fire and are not suppressed.
        evaluators: programs that evaluate the rules and answer; without any, no alert can fire.
        failed_notifications: attempts to tell a receiver that failed within five minutes.
        problem: why the layer cannot be read; empty if it can.
    """

    targets_up: int = 0
    targets: int = 0
    alerts: tuple[str, ...] = ()
    evaluators: int = 0
    failed_notifications: int = 0
    problem: str = ""

    @property
    def summary(self) -> str:
        """Everything in one line."""
        if self.problem:
            return self.problem
        alerts = ", ".join(self.alerts) if self.alerts else "none"
        return f"{self.targets_up} of {self.targets} targets answer; alerts: {alerts}"

    @property
    def problems(self) -> list[str]:
        """Problems of the layer itself; an alert is not one."""
        return [f"observability: {problem}" for problem in self._problems()]

    def _problems(self) -> Iterator[str]:
        if self.problem:
            yield self.problem
            return
        if reason := _blindness(self.targets_up, self.evaluators):
            yield reason
        if self.failed_notifications:
            yield f"{self.failed_notifications} attempts to tell a receiver of alerts failed within 5 min"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def collect(kubeconfig: Path) -> LayerStatus | None:
    """Return the state of the layer; None if it is not deployed.

    Args:
        kubeconfig: kubeconfig of the environment's cluster.
    """
    client = ObservabilityClient(kubeconfig)
    try:
        if not client.is_deployed():
            return None
        alerts = [alert.name for alert in client.alerts() if alert.state == "active"]
        values = (_value(client, query) for query in (UP, _ALL, EVALUATORS, _FAILED))
        targets_up, targets, evaluators, failed = values
        return LayerStatus(targets_up, targets, tuple(sorted(set(alerts))), evaluators, failed)
    except EsqError as error:
        return LayerStatus(problem=error.message)


def blindness(client: MetricsClient) -> str:
    """Return why no alert can fire, or why that is not known; empty if they can."""
    try:
        return _blindness(_value(client, UP), _value(client, EVALUATORS))
    except EsqError as error:
        return f"it is not known whether alerts can fire: {error.message}"


def _blindness(targets_up: int, evaluators: int) -> str:
    if not targets_up:
        return "nothing is scraped, so that no alert can fire"
    return "" if evaluators else "nobody evaluates the rules, so that no alert can fire"


def _value(client: MetricsClient, query: str) -> int:
    samples = client.metrics_query(query)
    return int(samples[0].value) if samples else 0
