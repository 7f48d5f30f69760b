"""Actions on pods: kill or freeze processes, throttle or stress a container, isolate or delete a pod.

The target of the experiment selects how `kill` and `freeze` act (`chaos.adapters`). `throttle_cpu` and
`limit_memory` change cgroups of this machine; all others work through the API server of any cluster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaoslib.exceptions import ActivityFailed

from chaos.adapters.embedded import container_cgroup
from chaos.context import current
from chaos.faults import host_processes, kubernetes, pod_stress, resource_exhaustion

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from chaos.faults import Fault
    from chaos.pod_location import PodLocation

__all__ = [
    "delete_pod",
    "freeze",
    "isolate",
    "kill",
    "limit_memory",
    "stress_cpu",
    "stress_memory",
    "throttle_cpu",
]


def kill(pod: str, process: str = "", container: str = "") -> str:
    """Kill (SIGKILL) the main process of a container, or its oldest process with a name.

    Args:
        pod: name of a pod, or a role, for example `postgres-primary`.
        process: name of the process; the main process of the container if empty.
        container: name of the container; the one named like its workload, or the first one, if empty.

    Returns:
        The name of the pod.

    Raises:
        ActivityFailed: the container does not run, or has no such process.
    """
    faults = current().target.faults
    return _inject(pod, container, lambda location, name: faults.kill(location, name, process))


def freeze(pod: str, container: str = "") -> str:
    """Freeze (SIGSTOP) all processes of a container.

    Args:
        pod: name of a pod, or a role, for example `postgres-primary`.
        container: name of the container; the one named like its workload, or the first one, if empty.

    Returns:
        The name of the pod.

    Raises:
        ActivityFailed: the container does not run.
    """
    return _inject(pod, container, current().target.faults.freeze)


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
    return _inject(pod, container, lambda location, name: _throttling(location, name, cores))


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
    headroom = headroom_mebibytes << 20
    return _inject(pod, container, lambda location, name: _pressure(location, name, headroom))


def stress_cpu(pod: str, workers: int, container: str = "") -> str:
    """Run busy loops in a container; they share its CPU time with its own processes.

    Without a CPU limit of the container, they also use all spare CPU time of the node: other pods there, also
    those of others, keep the share of their requests only.

    Args:
        pod: name of a pod, or a role.
        workers: number of busy loops.
        container: name of the container; the one named like its workload, or the first one, if empty.

    Returns:
        The name of the pod.

    Raises:
        ActivityFailed: the container does not run.
    """
    kubeconfig = current().target.kubeconfig
    return _inject(
        pod, container, lambda location, name: pod_stress.cpu_stress(kubeconfig, location, name, workers)
    )


def stress_memory(pod: str, headroom_mebibytes: int, container: str = "") -> str:
    """Use the memory of a container up to a headroom below its limit.

    Args:
        pod: name of a pod, or a role.
        headroom_mebibytes: memory that remains for caches and growth (MiB).
        container: name of the container; the one named like its workload, or the first one, if empty.

    Returns:
        The name of the pod.

    Raises:
        ActivityFailed: the container does not run.
    """
    kubeconfig, headroom = current().target.kubeconfig, headroom_mebibytes << 20
    return _inject(
        pod, container, lambda location, name: pod_stress.memory_stress(kubeconfig, location, name, headroom)
    )


def isolate(pod: str) -> str:
    """Isolate a pod from everything but its own node, by NetworkPolicy.

    Args:
        pod: name of a pod, or a role, for example `postgres-primary`.

    Returns:
        The name of the pod.
    """
    target = current().target
    location = target.resolve_pod(pod)
    current().inject(kubernetes.pod_isolation(target.kubeconfig, str(location), [location]))
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
    current().inject(kubernetes.pod_delete(target.kubeconfig, location))
    return location.pod


def _inject(pod: str, container: str, build: Callable[[PodLocation, str], Fault]) -> str:
    """Inject the fault of a container; return the name of the pod.

    Raises:
        ActivityFailed: the container does not run, or the fault cannot be built.
    """
    location = current().target.resolve_pod(pod)
    try:
        fault = build(location, location.main_container(container))
    except ValueError as error:
        raise ActivityFailed(str(error)) from error
    current().inject(fault)
    return location.pod


def _throttling(location: PodLocation, container: str, cores: float) -> Fault:
    group = _host_cgroup(location, container, "cpu")
    quota = host_processes.cpu_quota(group)
    return resource_exhaustion.cpu_throttling(str(location), group, cores, quota)


def _pressure(location: PodLocation, container: str, headroom_bytes: int) -> Fault:
    group = _host_cgroup(location, container, "memory")
    limit = host_processes.memory_limit(group)
    return resource_exhaustion.memory_pressure(str(location), group, headroom_bytes, limit)


def _host_cgroup(location: PodLocation, container: str, controller: str) -> Path:
    """Return the cgroup of a container of the embedded cluster.

    Raises:
        UsageError: the cluster is not embedded.
        ValueError: the container does not run on this machine.
    """
    current().target.zones  # noqa: B018 - raises
    return container_cgroup(location, container, controller)
