"""Three zones on one Linux machine: real Kubernetes nodes in network namespaces. Knows no Pulumi."""

from infra.zones.cluster import Cluster
from infra.zones.spec import ClusterSpec
from infra.zones.status import ClusterStatus, NodeStatus

__all__ = ["Cluster", "ClusterSpec", "ClusterStatus", "NodeStatus"]
