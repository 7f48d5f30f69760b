"""Faults through the API server of any Kubernetes cluster: pods deleted, drained, isolated, without DNS.

No fault touches pods outside of the platform's namespaces, nor `kube-system`. What it creates or changes
carries its id (`chaos.faults.kubectl`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chaos.faults.fault import Fault
from chaos.faults.kubectl import FAULT_LABEL, create, kubectl, new_fault_id
from infra.names import DATA_NAMESPACE, PART_OF_LABEL, PRODUCT, SERVICES_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from chaos.faults.fault import Command
    from chaos.pod_location import PodLocation

NAMESPACES = (DATA_NAMESPACE, SERVICES_NAMESPACE)
DRAIN_TIMEOUT_SECONDS = 55
"""More than the longest grace period of a pod of the platform, less than the limit of a command."""
_DNS_PORT, _LAST_PORT = 53, 65_535


def pod_delete(kubeconfig: Path, pod: PodLocation) -> Fault:
    """Delete a pod with the shortest grace period, 1 s.

    The object disappears after its containers have ended: a forced deletion would let a StatefulSet start a
    second pod of the same name while the first one still runs.

    Args:
        kubeconfig: kubeconfig of the cluster.
        pod: the pod.

    Returns:
        The fault; it has no undo, since the controller replaces the pod.
    """
    delete = ("delete", "pod", pod.pod, "--grace-period=1", "--wait=false")
    return Fault(
        kind="pod-delete",
        target=str(pod),
        inject=(kubectl(kubeconfig, *delete, namespace=pod.namespace),),
    )


def node_cordon(kubeconfig: Path, node: str) -> Fault:
    """Prevent that pods start on a node, also those of others; running pods stay.

    Args:
        kubeconfig: kubeconfig of the cluster.
        node: name of a node that is not cordoned.

    Returns:
        The fault; its undo permits pods again.
    """
    fault_id = new_fault_id()
    return Fault(
        kind="node-cordon",
        target=f"node {node}",
        inject=(_mark(kubeconfig, "nodes", [node], fault_id), kubectl(kubeconfig, "cordon", node)),
        undo=_uncordon(kubeconfig, fault_id),
    )


def node_drain(kubeconfig: Path, node: str) -> Fault:
    """Cordon a node and evict the pods of the platform from it; pods of others stay.

    Evictions respect PodDisruptionBudgets: one that permits no eviction within `DRAIN_TIMEOUT_SECONDS` fails
    the injection.

    Args:
        kubeconfig: kubeconfig of the cluster.
        node: name of a node that is not cordoned.

    Returns:
        The fault; its undo permits pods again.
    """
    fault_id = new_fault_id()
    drain = (
        *("drain", node, f"--pod-selector={PART_OF_LABEL}={PRODUCT}", "--ignore-daemonsets"),
        *("--delete-emptydir-data", f"--timeout={DRAIN_TIMEOUT_SECONDS}s"),
    )
    return Fault(
        kind="node-drain",
        target=f"node {node}",
        inject=(_mark(kubeconfig, "nodes", [node], fault_id), kubectl(kubeconfig, *drain)),
        undo=_uncordon(kubeconfig, fault_id),
    )


def pod_isolation(kubeconfig: Path, target: str, pods: Sequence[PodLocation]) -> Fault:
    """Isolate pods from everything but their own nodes, by NetworkPolicy.

    Whether connections that exist are cut depends on the network plugin. A pod that replaces one of them is
    not isolated.

    Args:
        kubeconfig: kubeconfig of a cluster that enforces NetworkPolicies.
        target: description of the pods, for example `zone-b`.
        pods: the pods.

    Returns:
        The fault; its undo deletes the policies.

    Raises:
        ValueError: there are no pods.
    """
    if not pods:
        raise ValueError(f"no pod to isolate in {target}")
    fault_id = new_fault_id()
    names: dict[str, list[str]] = {}
    for pod in pods:
        names.setdefault(pod.namespace, []).append(pod.pod)
    spec = {
        "podSelector": {"matchLabels": {FAULT_LABEL: fault_id}},
        "policyTypes": ["Ingress", "Egress"],
    }
    policies = [_policy("isolation", namespace, fault_id, spec) for namespace in names]
    marks = [_mark(kubeconfig, "pods", names[namespace], fault_id, namespace) for namespace in names]
    unmarks = [_unmark(kubeconfig, "pods", fault_id, namespace) for namespace in names]
    return Fault(
        kind="pod-isolation",
        target=target,
        inject=(create(kubeconfig, policies), *marks),
        undo=(*_delete_policies(kubeconfig, fault_id, names), *unmarks),
    )


def dns_block(kubeconfig: Path) -> Fault:
    """Drop the DNS queries of all pods of the platform, by NetworkPolicy; queries of others are not affected.

    Args:
        kubeconfig: kubeconfig of a cluster that enforces NetworkPolicies.

    Returns:
        The fault; its undo deletes the policies.
    """
    fault_id = new_fault_id()
    ranges = ((1, _DNS_PORT - 1), (_DNS_PORT + 1, _LAST_PORT))
    ports = [
        {"protocol": protocol, "port": first, "endPort": last}
        for protocol in ("TCP", "UDP")
        for first, last in ranges
    ]
    spec = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": ports}]}
    policies = [_policy("dns-failure", namespace, fault_id, spec) for namespace in NAMESPACES]
    return Fault(
        kind="dns-failure",
        target=", ".join(NAMESPACES),
        inject=(create(kubeconfig, policies),),
        undo=_delete_policies(kubeconfig, fault_id, NAMESPACES),
    )


def _policy(name: str, namespace: str, fault_id: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    labels = {PART_OF_LABEL: PRODUCT, FAULT_LABEL: fault_id}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"esq-{name}-{fault_id}", "namespace": namespace, "labels": labels},
        "spec": dict(spec),
    }


def _delete_policies(
    kubeconfig: Path, fault_id: str, namespaces: Sequence[str] | Mapping[str, Any]
) -> tuple[Command, ...]:
    delete = ("delete", "networkpolicies", f"--selector={FAULT_LABEL}={fault_id}", "--ignore-not-found")
    return tuple(kubectl(kubeconfig, *delete, namespace=namespace) for namespace in namespaces)


def _mark(kubeconfig: Path, kind: str, names: Sequence[str], fault_id: str, namespace: str = "") -> Command:
    """Return the command that labels objects; it fails if another fault has labelled one."""
    return kubectl(kubeconfig, "label", kind, *names, f"{FAULT_LABEL}={fault_id}", namespace=namespace)


def _unmark(kubeconfig: Path, kind: str, fault_id: str, namespace: str = "") -> Command:
    selector = f"--selector={FAULT_LABEL}={fault_id}"
    return kubectl(kubeconfig, "label", kind, selector, f"{FAULT_LABEL}-", namespace=namespace)


def _uncordon(kubeconfig: Path, fault_id: str) -> tuple[Command, ...]:
    uncordon = kubectl(kubeconfig, "uncordon", f"--selector={FAULT_LABEL}={fault_id}")
    return (uncordon, _unmark(kubeconfig, "nodes", fault_id))
