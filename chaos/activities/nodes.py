"""Actions on the nodes of any Kubernetes cluster."""

from __future__ import annotations

from chaos.context import current
from chaos.faults import kubernetes

__all__ = ["cordon", "drain"]


def cordon(node: str) -> str:
    """Prevent that pods start on a node, also those of others; running pods stay.

    Args:
        node: name of a node, or a pod on it, for example `postgres-primary`.

    Returns:
        The name of the node.
    """
    target = current().target
    name = target.resolve_node(node)
    current().inject(kubernetes.node_cordon(target.kubeconfig, name))
    return name


def drain(node: str) -> str:
    """Cordon a node and evict the pods of the platform from it, within their PodDisruptionBudgets.

    Pods of others stay, and none can start there until the undo.

    Args:
        node: name of a node, or a pod on it, for example `postgres-primary`.

    Returns:
        The name of the node.
    """
    target = current().target
    name = target.resolve_node(node)
    current().inject(kubernetes.node_drain(target.kubeconfig, name))
    return name
