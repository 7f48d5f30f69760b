"""Health of the nodes, services, endpoints and backups of an environment, as plain values.

The health of a data component is in `infra.components.component_health`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.components.backup.status import VerifierReport


@dataclass(frozen=True)
class NodeHealth:
    """Health of a node.

    Attributes:
        name: name of the node.
        zone: its zone.
        ready: whether its kubelet reports that it takes pods.
        schedulable: whether new pods may be placed on it, i.e. it is not cordoned.
        pressures: resources that its kubelet reports as scarce, e.g. `disk`, `memory`.
    """

    name: str
    zone: str
    ready: bool
    schedulable: bool = True
    pressures: tuple[str, ...] = ()


@dataclass(frozen=True)
class ServiceHealth:
    """Health of a process type, over its replicas.

    Attributes:
        name: name of its Deployment.
        ready: ready replicas.
        desired: desired replicas.
        zones: ready replicas by zone.
    """

    name: str
    ready: int
    desired: int
    zones: dict[str, int]

    @property
    def healthy(self) -> bool:
        """Whether all replicas are ready, in more than one zone."""
        return self.ready >= self.desired and len(self.zones) > 1


@dataclass(frozen=True)
class EndpointCheck:
    """Check of a public endpoint through the edge; no problem means that it serves."""

    path: str
    problem: str = ""


@dataclass(frozen=True)
class BackupHealth:
    """Health of the backups: a summary, problems, and the report of the verifier."""

    summary: str
    problems: tuple[str, ...] = ()
    report: VerifierReport | None = None
