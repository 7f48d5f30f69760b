"""Actions on pods: kill or freeze processes, throttle CPU, limit memory, delete a pod."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaoslib.exceptions import ActivityFailed

from chaos.context import current
from chaos.faults import Fault, host_processes, processes, resource_exhaustion

if TYPE_CHECKING:
    from pathlib import Path

    from chaos.pod_location import PodLocation

__all__ = ["delete_pod", "freeze", "kill", "limit_memory", "throttle_cpu"]


def kill(pod: str, process: str = "", container: str = "") -> str:
    """Kill (SIGKILL) the main process of a container, or its oldest process with a name.

    Args:
        pod: name of a pod, or a role, for example `postgres-primary`.
        process: name of the process; the main process of the container if empty.
        container: name of the container; the one named like its workload, or the first one, if empty.

    Returns:
        The name of the pod.

    Raises:
        ActivityFailed: the container does not run on this host, or has no such process.
    """
    location = current().target.resolve_pod(pod)
    members = host_processes.processes(_container_cgroup(location, container, "memory"))
    main = host_processes.main_process(members)
    victims = host_processes.processes_named(members, process)[:1] if process else (main,) if main else ()
    if not victims:
        names = [member.name for member in members]
        raise ActivityFailed(f"expected a process {process} in {location}, found {names}")
    current().inject(processes.kill_processes(str(location), victims))
    return location.pod


def freeze(pod: str, container: str = "") -> str:
    """Freeze (SIGSTOP) all processes of a container.

    Args:
        pod: name of a pod, or a role, for example `postgres-primary`.
        container: name of the container; the one named like its workload, or the first one, if empty.

    Returns:
        The name of the pod.

    Raises:
        ActivityFailed: the container does not run on this host.
    """
    location = current().target.resolve_pod(pod)
    members = host_processes.processes(_container_cgroup(location, container, "memory"))
    current().inject(processes.freeze_processes(str(location), members))
    return location.pod


def throttle_cpu(pod: str, cores: float, container: str = "") -> str:
    """Limit the CPU time of a container.

    Args:
        pod: name of a pod, or a role.
        cores: number of cores, for example 0.1.
        container: name of the container; the one named like its workload, or the first one, if empty.

    Returns:
        The name of the pod.

    Raises:
        ActivityFailed: the container does not run on this host.
    """
    location = current().target.resolve_pod(pod)
    group = _container_cgroup(location, container, "cpu")
    quota = host_processes.cpu_quota(group)
    current().inject(resource_exhaustion.cpu_throttling(str(location), group, cores, quota))
    return location.pod


def limit_memory(pod: str, headroom_mebibytes: int, container: str = "") -> str:
    """Lower the memory limit of a container to its anonymous memory plus a headroom.

    Args:
        pod: name of a pod, or a role.
        headroom_mebibytes: memory in addition to the current anonymous memory (MiB).
        container: name of the container; the one named like its workload, or the first one, if empty.

    Returns:
        The name of the pod.

    Raises:
        ActivityFailed: the container does not run on this host.
    """
    location = current().target.resolve_pod(pod)
    group = _container_cgroup(location, container, "memory")
    headroom, original_limit = headroom_mebibytes << 20, host_processes.memory_limit(group)
    current().inject(resource_exhaustion.memory_pressure(str(location), group, headroom, original_limit))
    return location.pod


def delete_pod(pod: str) -> str:
    """Delete a pod with the shortest grace period through the API server; works on any Kubernetes cluster.

    Not with `--force`, which deletes the pod from the API server before its processes have ended: the
    StatefulSet would start another pod with the same identity and volume beside them, a split brain that
    no operator would cause. With a grace period of one second, the kubelet kills the processes
    (SIGTERM, after one second SIGKILL), and only then the pod is gone.

    Args:
        pod: name of a pod, or a role, for example `postgres-primary`.

    Returns:
        The name of the pod.
    """
    target = current().target
    location = target.resolve_pod(pod)
    kubectl = ("kubectl", f"--kubeconfig={target.kubeconfig}", f"--namespace={location.namespace}")
    command = (*kubectl, "delete", "pod", location.pod, "--grace-period=1", "--wait=false")
    current().inject(Fault(kind="pod-delete", target=str(location), inject=(command,)))
    return location.pod


def _container_cgroup(location: PodLocation, container: str, controller: str) -> Path:
    """Return the cgroup of a container.

    Raises:
        ActivityFailed: the container does not run on this host.
    """
    target = current().target
    names = list(location.containers)
    default = next((name for name in names if location.pod.startswith(name)), names[0] if names else "")
    name = container or default
    container_id = location.containers.get(name)
    group = (
        host_processes.container_cgroup(location.uid, container_id, controller)
        if container_id and target.zones
        else None
    )
    if group is None:
        raise ActivityFailed(
            f"expected a running container {name} in {location}, found {', '.join(names) or 'none'}"
        )
    return group
