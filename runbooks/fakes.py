"""A made-up environment for tests and rehearsals of checks: healthy by default, wrong where it is told."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from infra.components.component_health import Replica, component_health
from infra.environment_health import BackupHealth, EndpointCheck, NodeHealth, ServiceHealth
from infra.processes import PROCESSES, REPLICAS
from runbooks.check import UnavailableError
from runbooks.readings import NodeUsage, PodState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from infra.components.component_health import ComponentHealth
    from runbooks.readings import ActiveAlert, Deploy, FaultState, LogLine, Sample, SloState

NOW = dt.datetime(2026, 1, 5, 3, 0, tzinfo=dt.UTC)
"""Time of the readings: an incident at night."""
ZONES = ("zone-a", "zone-b", "zone-c")
_GIBIBYTE = 1 << 30
_ROLES = {
    "postgres": (("primary", "running"), ("quorum standby", "streaming")),
    "redis": (("primary", "running"), ("replica", "link up")),
    "kafka": (("broker, leads the quorum", "in sync"), ("broker, votes", "in sync")),
    "object-store": (("storage", "up"), ("storage", "up")),
}


def replicas(component: str) -> tuple[Replica, ...]:
    """Return the healthy replicas of a data component: the first leads."""
    leader, follower = _ROLES[component]
    return tuple(
        Replica(
            name=f"{component}-{number}",
            zone=zone,
            role=role,
            state=state,
            healthy=True,
            lag=0 if number else None,
        )
        for number, (zone, (role, state)) in enumerate(zip(ZONES, (leader, follower, follower), strict=True))
    )


def component(name: str, outage: str = "", **states: str) -> ComponentHealth:
    """Return the health of a data component.

    Args:
        name: its name.
        outage: why it does not serve; empty if it serves.
        states: state of each unhealthy replica by its number, e.g. `r0="stopped"`.
    """
    changed = [
        replica.model_copy(update={"state": states[f"r{number}"], "healthy": False})
        if f"r{number}" in states
        else replica
        for number, replica in enumerate(replicas(name))
    ]
    return component_health(name, changed, "healthy", outage)


def service(name: str, *zones: str) -> ServiceHealth:
    """Return the health of a process type.

    Args:
        name: name of its Deployment.
        zones: zones of its ready replicas; the normal ones by default.
    """
    ready = zones or ZONES[:REPLICAS]
    return ServiceHealth(name, len(ready), REPLICAS, {zone: ready.count(zone) for zone in ready})


def without(name: str) -> tuple[ServiceHealth, ...]:
    """Return the health of all process types, with none of the replicas of one of them ready."""
    return tuple(
        ServiceHealth(name, 0, REPLICAS, {}) if process.name == name else service(process.name)
        for process in PROCESSES
    )


def pods() -> tuple[PodState, ...]:
    """Return the healthy pods of all workloads."""
    data = [
        PodState("esq-data", r.name, name, r.zone or "", ready=True)
        for name in _ROLES
        for r in replicas(name)
    ]
    services = [
        PodState("esq-services", f"{process.name}-{zone}", process.name, zone, ready=True)
        for process in PROCESSES
        for zone in ZONES[:REPLICAS]
    ]
    return (*data, *services)


def _healthy() -> dict[str, Any]:
    return {
        "control_plane": dict.fromkeys(("apiserver", "controller-manager", "scheduler"), ""),
        "nodes": tuple(NodeHealth(zone, zone, ready=True) for zone in ZONES),
        "components": {name: component(name) for name in _ROLES},
        "services": tuple(service(process.name) for process in PROCESSES),
        "endpoints": (EndpointCheck("/contacts"), EndpointCheck("/campaigns")),
        "backups": BackupHealth("newest 2 h old"),
        "unfinished_restore": "",
        "pods": pods(),
        "usage": tuple(NodeUsage(zone, 20 * _GIBIBYTE, 15 * _GIBIBYTE, 4 * _GIBIBYTE, 0.0) for zone in ZONES),
        "name_resolution": dict.fromkeys(ZONES, ""),
        "round_trips": dict.fromkeys(ZONES, (0.004, 0.005, 0.004)),
        "error_lines": (),
        "samples": {},
        "metric": UnavailableError("the observability layer is not deployed"),
        "logs": UnavailableError("the observability layer is not deployed"),
        "alerts": UnavailableError("the observability layer is not deployed"),
        "faults": (),
        "deploys": (),
        "damage": (),
        "slos": (),
    }


class FakeContext:
    """A `CheckContext` from values.

    Args:
        readings: what differs from a healthy environment without observability layer, by name of the method:
            a value; an `UnavailableError`, which is raised; for `component`, one or more `ComponentHealth`;
            for `samples`, the samples by name; for `metric`, by query, or a function of the query.
    """

    def __init__(self, **readings: Any) -> None:  # noqa: ANN401 - a value for each method
        self.environment = "local"
        self.is_embedded = bool(readings.pop("is_embedded", True))
        self.now = NOW
        changed = readings.pop("component", ())
        self._readings = _healthy() | readings
        components = changed if isinstance(changed, tuple) else (changed,)
        for health in components:
            if isinstance(health, UnavailableError):
                self._readings["components"] = health
            else:
                self._readings["components"] |= {health.component: health}

    def _read(self, name: str) -> Any:  # noqa: ANN401 - a value for each method
        value = self._readings[name]
        if isinstance(value, UnavailableError):
            raise value
        return value

    def control_plane(self) -> Mapping[str, str]:
        """See `CheckContext`."""
        return dict(self._read("control_plane"))

    def nodes(self) -> Sequence[NodeHealth]:
        """See `CheckContext`."""
        return tuple(self._read("nodes"))

    def component(self, name: str) -> ComponentHealth:
        """See `CheckContext`."""
        health: ComponentHealth = self._read("components")[name]
        return health

    def services(self) -> Sequence[ServiceHealth]:
        """See `CheckContext`."""
        return tuple(self._read("services"))

    def endpoints(self) -> Sequence[EndpointCheck]:
        """See `CheckContext`."""
        return tuple(self._read("endpoints"))

    def backups(self) -> BackupHealth:
        """See `CheckContext`."""
        health: BackupHealth = self._read("backups")
        return health

    def unfinished_restore(self) -> str:
        """See `CheckContext`."""
        return str(self._read("unfinished_restore"))

    def pods(self) -> Sequence[PodState]:
        """See `CheckContext`."""
        return tuple(self._read("pods"))

    def usage(self) -> Sequence[NodeUsage]:
        """See `CheckContext`."""
        return tuple(self._read("usage"))

    def name_resolution(self) -> Mapping[str, str]:
        """See `CheckContext`."""
        return dict(self._read("name_resolution"))

    def round_trips(self) -> Mapping[str, Sequence[float | None]]:
        """See `CheckContext`."""
        return dict(self._read("round_trips"))

    def error_lines(self) -> Sequence[LogLine]:
        """See `CheckContext`."""
        return tuple(self._read("error_lines"))

    def samples(self, metric: str) -> Sequence[Sample]:
        """See `CheckContext`."""
        return tuple(self._read("samples").get(metric, ()))

    def metric(self, query: str) -> Sequence[Sample]:
        """See `CheckContext`."""
        values: Mapping[str, Sequence[Sample]] | Callable[[str], Sequence[Sample]] = self._read("metric")
        return tuple(values(query) if callable(values) else values.get(query, ()))

    def logs(self, query: str, limit: int) -> Sequence[LogLine]:
        """See `CheckContext`."""
        return tuple(self._read("logs").get(query, ()))[:limit]

    def alerts(self) -> Sequence[ActiveAlert]:
        """See `CheckContext`."""
        return tuple(self._read("alerts"))

    def faults(self) -> Sequence[FaultState]:
        """See `CheckContext`."""
        return tuple(self._read("faults"))

    def deploys(self) -> Sequence[Deploy]:
        """See `CheckContext`."""
        return tuple(self._read("deploys"))

    def damage(self) -> Sequence[str]:
        """See `CheckContext`."""
        return tuple(self._read("damage"))

    def slos(self) -> Sequence[SloState]:
        """See `CheckContext`."""
        return tuple(self._read("slos"))
