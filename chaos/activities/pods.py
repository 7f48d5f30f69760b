"""Actions on pods: their processes killed or frozen, their processors and memory taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaoslib.exceptions import ActivityFailed

from chaos.context import current
from chaos.faults import Fault, hosts, pressure, processes

if TYPE_CHECKING:
    from pathlib import Path

    from chaos.target import Place

__all__ = ["delete_pod", "freeze", "kill", "squeeze_memory", "starve_cpu"]


def kill(who: str, process: str = "", container: str = "") -> str:
    """Kill (SIGKILL) the main process of a pod's container, or all its processes of a name.

    Args:
        who: a pod, by name or by the part it plays, e.g. `postgres-primary`.
        process: name of the processes; the container's main process when not given.
        container: which of the pod's; the one called like its workload, or the only one, when not given.
    """
    place = current().target.place(who)
    found = hosts.processes(_group(place, container, "memory"))
    main = hosts.main_process(found)
    chosen = hosts.named(found, process)[:1] if process else (main,) if main else ()
    if not chosen:
        raise ActivityFailed(
            f"expected a process {process} in {place}, found {[each.name for each in found]}"
        )
    current().inject(processes.kill_processes(str(place), chosen))
    return place.pod


def freeze(who: str, seconds: float, container: str = "") -> str:
    """Freeze (SIGSTOP) all processes of a pod's container for some seconds.

    Args:
        who: a pod, by name or by the part it plays, e.g. `postgres-primary`.
        seconds: for how long.
        container: which of the pod's; the one called like its workload, or the only one, when not given.
    """
    place = current().target.place(who)
    found = hosts.processes(_group(place, container, "memory"))
    current().inject(processes.freeze_processes(str(place), found))
    current().hold(seconds, f"{place.pod} is frozen")
    current().undo()
    return place.pod


def starve_cpu(who: str, cores: float, seconds: float, container: str = "") -> str:
    """Leave a pod's container a share of a processor for some seconds.

    Args:
        who: a pod, by name or by the part it plays.
        cores: processors' worth of time, e.g. 0.1.
        seconds: for how long.
        container: which of the pod's; the one called like its workload, or the only one, when not given.
    """
    place = current().target.place(who)
    group = _group(place, container, "cpu")
    current().inject(pressure.cpu_pressure(str(place), group, cores, hosts.cpu_quota(group)))
    current().hold(seconds, f"{place.pod} is starved")
    current().undo()
    return place.pod


def squeeze_memory(who: str, headroom_mebibytes: int, seconds: float, container: str = "") -> str:
    """Lower the memory limit of a pod's container to little more than it holds, for some seconds.

    Args:
        who: a pod, by name or by the part it plays.
        headroom_mebibytes: what it may have beyond what it holds.
        seconds: for how long.
        container: which of the pod's; the one called like its workload, or the only one, when not given.
    """
    place = current().target.place(who)
    group = _group(place, container, "memory")
    room, before = headroom_mebibytes << 20, hosts.memory_limit(group)
    current().inject(pressure.memory_pressure(str(place), group, room, before))
    current().hold(seconds, f"{place.pod} is squeezed")
    current().undo()
    return place.pod


def delete_pod(who: str) -> str:
    """Delete a pod at once, through the API server: works on any Kubernetes.

    Args:
        who: a pod, by name or by the part it plays, e.g. `postgres-primary`.
    """
    target = current().target
    place = target.place(who)
    kubectl = ("kubectl", f"--kubeconfig={target.kubeconfig}", f"--namespace={place.namespace}")
    command = (*kubectl, "delete", "pod", place.pod, "--grace-period=0", "--force", "--wait=false")
    current().inject(Fault(kind="pod-delete", target=str(place), inject=(command,)))
    return place.pod


def _group(place: Place, container: str, controller: str) -> Path:
    """Return the control group of a container.

    Raises:
        ActivityFailed: it does not run on this machine.
    """
    target = current().target
    names = list(place.containers)
    likely = next((name for name in names if place.pod.startswith(name)), names[0] if names else "")
    name = container or likely
    known = place.containers.get(name)
    found = hosts.container_group(place.uid, known, controller) if known and target.zones else None
    if found is None:
        raise ActivityFailed(
            f"expected a running container {name} in {place}, found {', '.join(names) or 'none'}"
        )
    return found
