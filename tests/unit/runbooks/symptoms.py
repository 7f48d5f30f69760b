"""How each experiment looks to the checks some seconds after its injection, without the observability layer.

Modelled by hand from the reports of runs and from what the components report; a run on a real cluster stores
the score of its own triage.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from infra.environment_health import EndpointCheck, NodeHealth
from infra.processes import PROCESSES
from runbooks.check import UnavailableError
from runbooks.fakes import NOW, ZONES, FakeContext, component, pods, service
from runbooks.readings import ContainerUsage, LogLine, NodeUsage, PodState, Sample
from services.contracts.telemetry import CERTIFICATE_EXPIRY

GIBIBYTE = 1 << 30
NO_ANSWER = "no response within 2.5 s"
LOST_POD = "NodeNotReady"
FAILED_EDGE = (EndpointCheck("/contacts", "status 503"), EndpointCheck("/campaigns", "status 503"))


def nodes(lost: str = "", cordoned: str = "") -> tuple[NodeHealth, ...]:
    return tuple(NodeHealth(zone, zone, ready=zone != lost, schedulable=zone != cordoned) for zone in ZONES)


def services_without(*zones: str) -> tuple:
    left = [zone for zone in ZONES[:2] if zone not in zones]
    return tuple(service(process.name, *left) for process in PROCESSES)


def pods_in(zone: str, **changes: object) -> tuple[PodState, ...]:
    return tuple(replace(pod, **changes) if pod.zone == zone else pod for pod in pods())


def restarted(
    *names: str, seconds: float = 8, reason: str = "Error", code: int = 137
) -> tuple[PodState, ...]:
    end = {"ended_at": NOW - dt.timedelta(seconds=seconds), "end_reason": reason, "end_code": code}
    return tuple(replace(pod, **end) if pod.name in names else pod for pod in pods())


def usage(**containers: ContainerUsage) -> tuple[NodeUsage, ...]:
    others = tuple(
        ContainerUsage(f"other-{number}", "main", "zone-a", cpu_stalled=0.2) for number in range(5)
    )
    return (
        NodeUsage("zone-a", 20 * GIBIBYTE, 15 * GIBIBYTE, containers=(*others, *containers.values())),
        *(NodeUsage(zone, 20 * GIBIBYTE, 15 * GIBIBYTE) for zone in ZONES[1:]),
    )


def lost_zone(**more: object) -> FakeContext:
    """Zone a, with the primaries of Postgres and Redis, is lost; no new leader yet."""
    readings = {
        "nodes": nodes(lost="zone-a"),
        "component": (
            component("postgres", "no primary accepts writes", r0=f"running, {LOST_POD}", r1="running"),
            component("redis", "no primary accepts writes", r0=LOST_POD, r1="link down", r2="link down"),
            component("kafka", r0="fenced, NodeNotReady"),
            component("object-store", r0="down, NodeNotReady"),
        ),
        "services": services_without("zone-a"),
        "pods": pods_in("zone-a", ready=False, reason=LOST_POD),
        "round_trips": dict.fromkeys(ZONES, (0.004,) * 4) | {"zone-a": (None,) * 4},
        "endpoints": FAILED_EDGE,
    }
    return FakeContext(**readings | more)


def partition() -> FakeContext:
    """Zone a does not reach the other zones; its node and pods run."""
    return FakeContext(
        component=(
            component("postgres", r0="starting"),
            component("redis", r0="link down"),
            component("kafka", r0="fenced"),
            component("object-store", r0="down"),
        )
    )


def slow_zone(*times: float | None) -> FakeContext:
    return FakeContext(round_trips=dict.fromkeys(ZONES, (0.004, 0.006, 0.005, 0.004)) | {"zone-a": times})


def no_control_plane(**more: object) -> FakeContext:
    error = UnavailableError("the API server does not answer")
    parts = ("nodes", "component", "services", "pods", "usage", "name_resolution", "round_trips", "samples")
    readings = dict.fromkeys((*parts, "backups", "error_lines", "unfinished_restore", "deploys"), error)
    return FakeContext(control_plane={"apiserver": NO_ANSWER}, **readings | more)


def stalled(**values: float) -> ContainerUsage:
    return ContainerUsage("postgres-0", "postgres", "zone-a", 900 << 20, 1024 << 20, **values)


def _expired() -> FakeContext:
    at = NOW.timestamp() - 86_400
    sample = Sample({"certificate": "server", "pod": "contacts-api-zone-a"}, at)
    return FakeContext(samples={CERTIFICATE_EXPIRY.name: (sample,)}, endpoints=FAILED_EDGE[:1])


def _rejected() -> FakeContext:
    line = "asyncpg.exceptions.InvalidPasswordError: password authentication failed for user"
    bad = replace(pods()[-1], name="contacts-api-new", workload="contacts-api", ready=False, reason="Error")
    return FakeContext(
        pods=(*pods(), bad),
        error_lines=(LogLine(NOW, "contacts-api-new", line),),
        services=tuple(
            service("contacts-api", "zone-b") if process.name == "contacts-api" else service(process.name)
            for process in PROCESSES
        ),
    )


def _pipeline() -> FakeContext:
    names = ("whatsapp-worker-zone-a", "campaigns-planner-zone-a", "whatsapp-dispatcher-zone-b", "redis-0")
    return FakeContext(pods=restarted(*names))


def _drained() -> FakeContext:
    evicted = tuple(
        replace(pod, zone="", ready=False, reason="Unschedulable")
        for pod in pods()
        if pod.name == "postgres-0"
    )
    return FakeContext(
        nodes=nodes(cordoned="zone-a"),
        pods=(*(pod for pod in pods() if pod.name != "postgres-0"), *evicted),
        component=component("postgres", r0="unknown to Patroni"),
        services=services_without("zone-a"),
    )


DISK_FULL = FakeContext(
    usage=(
        NodeUsage("zone-a", 20 * GIBIBYTE, 0),
        *(NodeUsage(z, 20 * GIBIBYTE, 15 * GIBIBYTE) for z in ZONES[1:]),
    ),
    component=(component("postgres", r0="stopped"), component("kafka", r0="fenced, CrashLoopBackOff")),
)
NO_PRIMARY = component("postgres", "no primary accepts writes", r0="stopped", r1="running")
BROKER_LOST = component("kafka", r0="fenced, ContainersNotReady")

EXPERIMENTS = {
    "certificate-expired": _expired(),
    "cluster-power-loss": no_control_plane(
        endpoints=tuple(EndpointCheck(c.path, "ConnectError") for c in FAILED_EDGE)
    ),
    "control-plane-outage": no_control_plane(),
    "credentials-rotated": FakeContext(
        component=component("postgres", r1="streaming, applying changed credentials")
    ),
    "disk-full": DISK_FULL,
    "dispatcher-killed": FakeContext(pods=restarted("whatsapp-dispatcher-zone-a")),
    "dns-outage": FakeContext(
        name_resolution=dict.fromkeys(ZONES, "Temporary failure in name resolution"), endpoints=FAILED_EDGE
    ),
    "invalid-database-password": _rejected(),
    "kafka-bit-flip": FakeContext(damage=("kafka-1: batch 3 of message.status-0",)),
    "kafka-broker-killed": FakeContext(component=BROKER_LOST),
    "node-crash-restart": FakeContext(pods=restarted(*(pod.name for pod in pods() if pod.zone == "zone-a"))),
    "node-drained": _drained(),
    "object-store-bit-flip": FakeContext(damage=("object-store-1: block 12ab",)),
    "object-store-node-killed": FakeContext(
        component=component("object-store", r1="down, ContainersNotReady")
    ),
    "pipeline-sequential-kill": _pipeline(),
    "postgres-and-kafka-killed": FakeContext(component=(NO_PRIMARY, BROKER_LOST), endpoints=FAILED_EDGE),
    "postgres-bit-flip": FakeContext(damage=("postgres-1: page 4 of 2609",)),
    "postgres-primary-container-killed": FakeContext(component=NO_PRIMARY, endpoints=FAILED_EDGE),
    "postgres-primary-cpu-stressed": FakeContext(usage=usage(postgres=stalled(cpu_stalled=0.8))),
    "postgres-primary-cpu-throttled": FakeContext(
        usage=usage(postgres=stalled(cpu_stalled=0.95)), component=component("postgres", r1="running")
    ),
    "postgres-primary-frozen": FakeContext(component=NO_PRIMARY, endpoints=FAILED_EDGE),
    "postgres-primary-killed": FakeContext(component=NO_PRIMARY),
    "postgres-primary-memory-pressure": FakeContext(usage=usage(postgres=stalled(memory_stalled=0.4))),
    "postgres-primary-memory-stressed": FakeContext(pods=restarted("postgres-0", reason="OOMKilled")),
    "postgres-primary-pod-deleted": FakeContext(component=component("postgres", r0="unknown to Patroni")),
    "redis-flushed": FakeContext(),
    "redis-primary-frozen": FakeContext(
        component=component("redis", "no primary accepts writes", r0="no answer")
    ),
    "redis-primary-killed": FakeContext(pods=restarted("redis-0")),
    "short-pause-no-failover": FakeContext(),
    "zone-bandwidth-limit": slow_zone(0.3, 0.4, 0.35, 0.3),
    "zone-isolated": lost_zone(),
    "zone-latency": slow_zone(0.21, 0.24, 0.22, 0.23),
    "zone-one-way-partition": partition(),
    "zone-outage": lost_zone(),
    "zone-packet-loss": slow_zone(0.004, 0.21, None, 0.005),
    "zone-partition-from-zones": partition(),
    "zone-power-loss": lost_zone(),
}
