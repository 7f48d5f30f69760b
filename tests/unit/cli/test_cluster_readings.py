"""Responses of an API server become plain values."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from cli.actions import cluster_readings as readings
from cli.actions.environment_context import parse_lease
from cli.lock_holder import LockHolder
from infra.environment_definition import LOCAL_DEFINITION
from infra.process_identity import ProcessIdentity

NOW = dt.datetime(2026, 1, 5, 3, 0, tzinfo=dt.UTC)
ZONES = {"node-a": "zone-a", "node-b": "zone-b"}


def node(name: str, ready: str = "True", **spec: Any) -> dict[str, Any]:
    labels = {"topology.kubernetes.io/zone": ZONES[name]}
    conditions = [{"type": "Ready", "status": ready}, {"type": "DiskPressure", "status": "True"}]
    return {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": {"conditions": conditions}}


def pod(name: str = "postgres-0", ready: str = "True", **status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": "esq-data",
            "labels": {"app.kubernetes.io/name": name.rpartition("-")[0]},
        },
        "spec": {
            "nodeName": "node-a",
            "containers": [{"name": "main", "resources": {"limits": {"memory": "512Mi"}}}],
        },
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}], **status},
    }


def test_nodes_with_their_zone_and_what_is_scarce() -> None:
    first, second = readings.parse_nodes([node("node-a"), node("node-b", "Unknown", unschedulable=True)])
    assert (first.zone, first.ready, first.schedulable, first.pressures) == ("zone-a", True, True, ("disk",))
    assert (second.ready, second.schedulable) == (False, False)


def test_pod_that_restarted_has_the_end_of_its_container() -> None:
    end = {"reason": "OOMKilled", "exitCode": 137, "finishedAt": "2026-01-05T02:59:50Z"}
    status = {
        "name": "main",
        "restartCount": 2,
        "state": {"running": {"startedAt": "2026-01-05T02:59:52Z"}},
        "lastState": {"terminated": end},
    }
    (state,) = readings.parse_pods([pod(containerStatuses=[status])], ZONES)
    assert (state.workload, state.zone, state.ready, state.restarts) == ("postgres", "zone-a", True, 2)
    assert (state.end_reason, state.end_code) == ("OOMKilled", 137)
    assert state.ended_at == NOW - dt.timedelta(seconds=10)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (
            {"containerStatuses": [{"name": "main", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]},
            "CrashLoopBackOff",
        ),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]},
            "Unschedulable",
        ),
        (
            {"conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}]},
            "ContainersNotReady",
        ),
        ({"conditions": [], "phase": "Pending"}, "Pending"),
    ],
)
def test_pod_that_is_not_ready_has_the_most_specific_reason(status: dict[str, Any], reason: str) -> None:
    (state,) = readings.parse_pods(
        [pod(ready="False") | {"status": pod(ready="False")["status"] | status}], ZONES
    )
    assert (state.ready, state.reason) == (False, reason)


def test_pod_that_is_being_deleted_is_not_ready() -> None:
    item = pod()
    item["metadata"]["deletionTimestamp"] = "2026-01-05T02:59:50Z"
    (state,) = readings.parse_pods([item], ZONES)
    assert (state.ready, state.reason) == (False, "Terminating")


def test_completed_job_is_no_pod_that_is_missing() -> None:
    assert readings.parse_pods([pod(phase="Succeeded", ready="False")], ZONES) == ()


def test_services_are_counted_by_zone() -> None:
    items = [pod(f"contacts-api-{number}") for number in range(2)]
    for item in items:
        item["metadata"] |= {
            "namespace": "esq-services",
            "labels": {"app.kubernetes.io/name": "contacts-api"},
        }
    definition = LOCAL_DEFINITION
    services = {
        service.name: service
        for service in readings.count_services(readings.parse_pods(items, ZONES), definition)
    }
    assert (services["contacts-api"].ready, services["contacts-api"].zones) == (2, {"zone-a": 2})
    assert services["campaigns-api"].ready == 0


def test_usage_has_disk_limits_and_pressure() -> None:
    summary = {
        "node": {
            "fs": {"capacityBytes": 1000, "availableBytes": 50},
            "cpu": {"psi": {"some": {"avg10": 12.5}}},
        },
        "pods": [
            {
                "podRef": {"name": "postgres-0"},
                "containers": [
                    {
                        "name": "main",
                        "cpu": {"psi": {"some": {"avg10": 80.0}}},
                        "memory": {"rssBytes": 500 << 20},
                    }
                ],
            }
        ],
    }
    usage = readings.parse_usage(summary, "zone-a", readings.memory_limits([pod()]))
    (container,) = usage.containers
    assert usage.disk_used == pytest.approx(0.95)
    assert usage.cpu_stalled == pytest.approx(0.125)
    assert (container.memory_bytes, container.memory_limit_bytes) == (500 << 20, 512 << 20)
    assert (container.cpu_stalled, container.memory_stalled) == (pytest.approx(0.8), None)


def test_samples_get_the_pod_and_keep_their_labels() -> None:
    text = (
        "# HELP esq_connections Connections by state\n# TYPE esq_connections gauge\n"
        'esq_connections{state="banned"} 2.0\nesq_connections{state="a \\"b\\"",x="1"} 1e3\nesq_up 1\n'
    )
    samples = readings.parse_samples(text, "whatsapp-worker-1", "zone-b")
    banned, other = samples["esq_connections"]
    assert banned.value == 2.0
    assert banned.labels == {"state": "banned", "pod": "whatsapp-worker-1", "zone": "zone-b"}
    assert (other.labels["x"], other.value) == ("1", 1000.0)
    assert samples["esq_up"][0].value == 1.0


def test_log_lines_have_their_time() -> None:
    first, second = readings.parse_log(
        "2026-01-05T03:00:00.123456789Z refused\nwithout time", "contacts-api-1"
    )
    assert (first.at, first.message) == (NOW, "refused")
    assert (second.at, second.message) == (None, "without time")


def test_program_that_does_not_renew_its_lease_does_not_run() -> None:
    def lease(seconds: float) -> dict[str, Any]:
        return {"spec": {"renewTime": (NOW - dt.timedelta(seconds=seconds)).isoformat()}}

    leases = {"kube-scheduler": lease(120), "kube-controller-manager": lease(3)}
    problems = readings.lease_problems(leases, NOW)
    assert problems == {"scheduler": "has not renewed its Lease for 120 s", "controller-manager": ""}
    assert readings.lease_problems({}, NOW) == {}


def environment_lease(holder: str, age: float = 1, **annotations: str) -> dict[str, Any]:
    renewed = (NOW - dt.timedelta(seconds=age)).isoformat()
    spec = {
        "holderIdentity": holder,
        "renewTime": renewed,
        "acquireTime": renewed,
        "leaseDurationSeconds": 30,
    }
    return {"metadata": {"annotations": {"esq/command": "deploy", **annotations}}, "spec": spec}


def test_lease_tells_of_a_running_a_dead_and_an_incomplete_command() -> None:
    own = LockHolder.of_this_process()
    former = own.process.model_copy(update={"start_ticks": own.process.start_ticks - 1000})
    dead = LockHolder(own.user, former, own.pid_namespace)
    other = ProcessIdentity(pid=7, start_ticks=0, boot_id="another boot")
    remote = LockHolder("ada@other", other, "another namespace")
    assert parse_lease(environment_lease(own.identity), NOW).state == "running"
    assert parse_lease(environment_lease(dead.identity), NOW).state == "left"
    assert parse_lease(environment_lease(remote.identity), NOW).state == "running"
    assert parse_lease(environment_lease(remote.identity, age=31), NOW).state == "left"
    assert parse_lease(environment_lease("", **{"esq/incomplete": "true"}), NOW).state == "incomplete"
    assert parse_lease(environment_lease(""), NOW) is None
