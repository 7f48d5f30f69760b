"""Readings of a cluster for the checks: plain values from the responses of its API server. Pure."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

from infra.environment_health import NodeHealth, ServiceHealth
from infra.names import NAME_LABEL, SERVICES_NAMESPACE, ZONE_LABEL
from runbooks.readings import ContainerUsage, LogLine, NodeUsage, PodState, Sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from infra.environment_definition import EnvironmentDefinition

_PRESSURES = {"DiskPressure": "disk", "MemoryPressure": "memory", "PIDPressure": "processes"}
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_LOG_TIME = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\S*Z ")
LEASE_AGE_SECONDS = 30.0
"""A controller that runs renews its Lease every few seconds."""
PROGRAM_LEASES = {"kube-controller-manager": "controller-manager", "kube-scheduler": "scheduler"}

Json = dict[str, Any]


def parse_nodes(items: Iterable[Json]) -> tuple[NodeHealth, ...]:
    """Return the nodes of a list."""
    return tuple(_node(item) for item in items)


def _node(item: Json) -> NodeHealth:
    conditions = {entry["type"]: entry["status"] for entry in item["status"].get("conditions", ())}
    return NodeHealth(
        name=item["metadata"]["name"],
        zone=item["metadata"].get("labels", {}).get(ZONE_LABEL, ""),
        ready=conditions.get("Ready") == "True",
        schedulable=not item["spec"].get("unschedulable", False),
        pressures=tuple(name for kind, name in _PRESSURES.items() if conditions.get(kind) == "True"),
    )


def parse_pods(items: Iterable[Json], zones: Mapping[str, str]) -> tuple[PodState, ...]:
    """Return the pods of a list, without those of completed Jobs.

    Args:
        items: the pods.
        zones: zone by node.
    """
    return tuple(_pod(item, zones) for item in items if item["status"].get("phase") != "Succeeded")


def _pod(item: Json, zones: Mapping[str, str]) -> PodState:
    status, metadata = item["status"], item["metadata"]
    containers: Sequence[Json] = status.get("containerStatuses", ())
    conditions = {entry["type"]: entry for entry in status.get("conditions", ())}
    ready = conditions.get("Ready", {}).get("status") == "True" and "deletionTimestamp" not in metadata
    ends = [end for entry in containers if (end := entry.get("lastState", {}).get("terminated"))]
    last = max(ends, key=lambda end: str(end["finishedAt"]), default=None)
    starts = [run["startedAt"] for entry in containers if (run := entry.get("state", {}).get("running"))]
    return PodState(
        namespace=metadata["namespace"],
        name=metadata["name"],
        workload=metadata.get("labels", {}).get(NAME_LABEL, ""),
        zone=zones.get(item["spec"].get("nodeName", ""), ""),
        ready=ready,
        reason="" if ready else _reason(item, containers, conditions),
        restarts=sum(entry.get("restartCount", 0) for entry in containers),
        started_at=_time(max(starts)) if starts else None,
        ended_at=_time(last["finishedAt"]) if last else None,
        end_reason=last.get("reason", "") if last else "",
        end_code=last.get("exitCode", 0) if last else 0,
    )


def _reason(item: Json, containers: Iterable[Json], conditions: Mapping[str, Json]) -> str:
    """Return why a pod is not ready: the most specific reason that Kubernetes tells."""
    waiting = [
        entry["state"]["waiting"].get("reason") for entry in containers if "waiting" in entry.get("state", {})
    ]
    candidates = (
        "Terminating" if "deletionTimestamp" in item["metadata"] else "",
        *waiting,
        conditions.get("PodScheduled", {}).get("reason"),
        item["status"].get("reason"),
        conditions.get("Ready", {}).get("reason"),
        item["status"].get("phase"),
    )
    return next((str(reason) for reason in candidates if reason), "not ready")


def count_services(pods: Iterable[PodState], definition: EnvironmentDefinition) -> tuple[ServiceHealth, ...]:
    """Return the ready replicas of each process type.

    Args:
        pods: the pods.
        definition: declares the process types and their replicas.
    """
    ready = [pod for pod in pods if pod.namespace == SERVICES_NAMESPACE and pod.ready]
    services = []
    for process in definition.processes:
        zones = [pod.zone or "?" for pod in ready if pod.workload == process.name]
        counts = {zone: zones.count(zone) for zone in sorted(set(zones))}
        services.append(ServiceHealth(process.name, len(zones), definition.replicas_of(process), counts))
    return tuple(services)


def parse_usage(summary: Json, zone: str, limits: Mapping[tuple[str, str], int]) -> NodeUsage:
    """Return the use of resources of a node.

    Args:
        summary: `/stats/summary` of its kubelet.
        zone: its zone.
        limits: memory limit in bytes by pod and container.
    """
    node = summary["node"]
    disk = node.get("fs", {})
    return NodeUsage(
        zone=zone,
        disk_bytes=disk.get("capacityBytes", 0),
        disk_free_bytes=disk.get("availableBytes", 0),
        memory_free_bytes=node.get("memory", {}).get("availableBytes", 0),
        cpu_stalled=_stalled(node.get("cpu", {})),
        containers=tuple(
            _container(pod["podRef"]["name"], container, zone, limits)
            for pod in summary.get("pods", ())
            for container in pod.get("containers", ())
        ),
    )


def _container(pod: str, container: Json, zone: str, limits: Mapping[tuple[str, str], int]) -> ContainerUsage:
    memory = container.get("memory", {})
    return ContainerUsage(
        pod=pod,
        container=container["name"],
        zone=zone,
        memory_bytes=memory.get("rssBytes", 0),
        memory_limit_bytes=limits.get((pod, container["name"])),
        cpu_stalled=_stalled(container.get("cpu", {})),
        memory_stalled=_stalled(memory),
    )


def _stalled(resource: Json) -> float | None:
    """Return the share of the last 10 s in which a process waited; None if it is not known."""
    some = resource.get("psi", {}).get("some")
    return None if some is None else some["avg10"] / 100


def memory_limits(items: Iterable[Json]) -> dict[tuple[str, str], int]:
    """Return the memory limits in bytes, by pod and container, of a list of pods."""
    return {
        (item["metadata"]["name"], container["name"]): parse_quantity(limit)
        for item in items
        for container in item["spec"].get("containers", ())
        if (limit := container.get("resources", {}).get("limits", {}).get("memory"))
    }


def parse_quantity(text: str) -> int:
    """Return a quantity of Kubernetes, e.g. `512Mi`, as a number."""
    units = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "k": 1000, "M": 1000**2, "G": 1000**3}
    unit = next((unit for unit in units if text.endswith(unit)), "")
    return int(float(text.removesuffix(unit)) * units.get(unit, 1))


def parse_samples(text: str, pod: str, zone: str) -> dict[str, list[Sample]]:
    """Return the samples of an exposition (Prometheus text format) by metric; the pod and zone become labels.

    Args:
        text: the exposition.
        pod: the pod that answered.
        zone: its zone.
    """
    samples: dict[str, list[Sample]] = {}
    for match in map(_SAMPLE.match, text.splitlines()):
        if match:
            labels = {**dict(_LABEL.findall(match[2] or "")), "pod": pod, "zone": zone}
            samples.setdefault(match[1], []).append(Sample(labels, float(match[3])))
    return samples


def parse_log(text: str, pod: str) -> list[LogLine]:
    """Return the lines of a log with times.

    Args:
        text: the log.
        pod: the pod that wrote it.
    """
    lines = []
    for line in text.splitlines():
        at = _LOG_TIME.match(line)
        lines.append(LogLine(_time(f"{at[1]}Z") if at else None, pod, line[at.end() :] if at else line))
    return lines


def lease_problems(leases: Mapping[str, Json], now: dt.datetime) -> dict[str, str]:
    """Return by program why it does not run; a program without a Lease is not known here.

    Args:
        leases: Leases of `kube-system` by name.
        now: current time (UTC).
    """
    problems = {}
    for lease, program in PROGRAM_LEASES.items():
        renewed = leases.get(lease, {}).get("spec", {}).get("renewTime")
        if renewed:
            age = (now - _time(renewed)).total_seconds()
            problems[program] = (
                f"has not renewed its Lease for {age:.0f} s" if age > LEASE_AGE_SECONDS else ""
            )
    return problems


def _time(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)
