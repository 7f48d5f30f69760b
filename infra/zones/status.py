"""What a cluster is like right now, in words and for machines."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class NodeStatus(BaseModel):
    """A node as the API server sees it."""

    model_config = ConfigDict(frozen=True)

    name: str
    zone: str
    ready: bool = False
    reason: str = ""


class ClusterStatus(BaseModel):
    """A cluster.

    Attributes:
        name: of the cluster.
        running: whether its supervisor runs.
        processes: state by process name, e.g. `RUNNING`; those of a node are called `zone-a/kubelet`.
        nodes: of every zone, as the API server sees them; empty when it does not answer.
        kubeconfig: path of the administrator's kubeconfig.
        edge: address of the edge.
        registry: `host:port` of the registry.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    running: bool
    processes: dict[str, str]
    nodes: tuple[NodeStatus, ...]
    kubeconfig: str
    edge: str
    registry: str

    @property
    def unhealthy(self) -> list[str]:
        """Names of processes that do not run and of nodes that are not ready."""
        processes = [name for name, state in self.processes.items() if state != "RUNNING"]
        return processes + [f"node {node.name}" for node in self.nodes if not node.ready]

    @property
    def healthy(self) -> bool:
        """Every process runs and every node is ready."""
        return self.running and bool(self.nodes) and not self.unhealthy
