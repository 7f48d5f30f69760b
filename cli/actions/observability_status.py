"""State of the observability layer for `esq status`: targets that are scraped, and alerts that fire."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cli.observability_client import ObservabilityClient
from infra.errors import EsqError

if TYPE_CHECKING:
    from pathlib import Path

_UP, _ALL = "sum(up)", "count(up)"


@dataclass(frozen=True)
class LayerStatus:
    """State of the layer.

    Attributes:
        targets_up: targets whose last scrape succeeded.
        targets: all targets.
        alerts: names of the alerts that fire and are not suppressed.
        problem: why the layer cannot be read; empty if it can.
    """

    targets_up: int = 0
    targets: int = 0
    alerts: tuple[str, ...] = ()
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
        return [f"observability: {self.problem}"] if self.problem else []

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
        return LayerStatus(_value(client, _UP), _value(client, _ALL), tuple(sorted(set(alerts))))
    except EsqError as error:
        return LayerStatus(problem=error.message)


def _value(client: ObservabilityClient, query: str) -> int:
    samples = client.metrics_query(query)
    return int(samples[0].value) if samples else 0
