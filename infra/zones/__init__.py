"""Three zones on one Linux machine: Kubernetes nodes in network namespaces. Does not depend on Pulumi."""

from infra.zones.cluster import Cluster, registry_storage, running_clusters
from infra.zones.spec import ClusterSpec
from infra.zones.status import ClusterStatus, NodeStatus

__all__ = ["Cluster", "ClusterSpec", "ClusterStatus", "NodeStatus", "registry_storage", "running_clusters"]
