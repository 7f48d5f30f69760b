"""Faults of any Kubernetes cluster, through its API server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.faults import kubernetes, node_pods

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from chaos.faults import Fault
    from chaos.pod_location import PodLocation


class KubernetesFaults:
    """Adapter of `FaultPort`: helper pods and NetworkPolicies.

    Args:
        kubeconfig: kubeconfig of the cluster.
        pods_in_zone: returns the pods of the platform in a zone.
    """

    def __init__(self, kubeconfig: Path, pods_in_zone: Callable[[str], Sequence[PodLocation]]) -> None:
        self._kubeconfig = kubeconfig
        self._pods_in_zone = pods_in_zone

    def kill(self, pod: PodLocation, container: str, process: str) -> Fault:
        """See `FaultPort.kill`: a helper pod on the node sends the signal."""
        return node_pods.container_kill(self._kubeconfig, pod, container, process)

    def freeze(self, pod: PodLocation, container: str) -> Fault:
        """See `FaultPort.freeze`: a helper pod on the node sends the signals."""
        return node_pods.container_freeze(self._kubeconfig, pod, container)

    def isolate_zone(self, zone: str) -> Fault:
        """See `FaultPort.isolate_zone`: the pods of the platform in the zone are isolated, not its nodes."""
        return kubernetes.pod_isolation(self._kubeconfig, zone, self._pods_in_zone(zone))

    def fail_dns(self, zones: Sequence[str]) -> Fault:
        """See `FaultPort.fail_dns`: queries of the pods of the platform are dropped, in all zones.

        Raises:
            ValueError: zones are named.
        """
        if zones:
            raise ValueError("in this cluster, DNS fails in all zones at once: name no zones")
        return kubernetes.dns_block(self._kubeconfig)
