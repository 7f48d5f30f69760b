"""Faults of the embedded cluster: signals, network and DNS of its hosts, the namespaces of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.faults import host_processes, network, processes
from chaos.faults import zones as zone_faults

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from chaos.faults import Fault
    from chaos.pod_location import PodLocation
    from infra.zones import Cluster


class EmbeddedFaults:
    """Adapter of `FaultPort`: the kernel of this machine.

    Args:
        cluster: the embedded cluster.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def kill(self, pod: PodLocation, container: str, process: str) -> Fault:
        """See `FaultPort.kill`."""
        members = host_processes.processes(container_cgroup(pod, container, "memory"))
        main = host_processes.main_process(members)
        victims = host_processes.processes_named(members, process)[:1] if process else (main,) if main else ()
        if not victims:
            names = [member.name for member in members]
            raise ValueError(f"expected a process {process} in {pod}, found {names}")
        return processes.kill_processes(str(pod), victims)

    def freeze(self, pod: PodLocation, container: str) -> Fault:
        """See `FaultPort.freeze`."""
        members = host_processes.processes(container_cgroup(pod, container, "memory"))
        return processes.freeze_processes(str(pod), members)

    def isolate_zone(self, zone: str) -> Fault:
        """See `FaultPort.isolate_zone`; the control plane and the clients are disconnected as well."""
        return network.zone_isolation(self._cluster.spec, zone)

    def fail_dns(self, zones: Sequence[str]) -> Fault:
        """See `FaultPort.fail_dns`: the DNS servers of the zones are stopped."""
        return zone_faults.dns_failure(self._cluster.paths, list(zones) or self._cluster.spec.zones)


def container_cgroup(pod: PodLocation, container: str, controller: str) -> Path:
    """Return the cgroup of a container on this machine.

    Args:
        pod: the pod.
        container: name of a running container.
        controller: controller of version 1, e.g. `memory`.

    Raises:
        ValueError: the container does not run on this machine.
    """
    group = host_processes.container_cgroup(pod.uid, pod.containers[container], controller)
    if group is None:
        raise ValueError(f"container {container} of {pod} does not run on this machine")
    return group
