"""The current status of a cluster."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class NodeStatus(BaseModel):
    """A node, as reported by the API server."""

    model_config = ConfigDict(frozen=True)

    name: str
    zone: str
    ready: bool = False
    reason: str = ""


class ClusterStatus(BaseModel):
    """The status of a cluster.

    Attributes:
        name: name of the cluster.
        running: whether its supervisor is running.
        processes: state by process name, e.g. `RUNNING`; names of node processes are like `zone-a/kubelet`.
        nodes: nodes, one per zone, as reported by the API server; empty when it does not respond.
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
        """Names of the processes that are not running and of the nodes that are not ready."""
        processes = [name for name, state in self.processes.items() if state != "RUNNING"]
        return processes + [f"node {node.name}" for node in self.nodes if not node.ready]

    @property
    def healthy(self) -> bool:
        """Whether every process is running and every node is ready."""
        return self.running and bool(self.nodes) and not self.unhealthy
