"""The exporter of object states: what it makes of the lists of an API server and of the kubelets."""

from __future__ import annotations

from typing import Any

import pytest

from infra.components.observability import scraped_metrics
from infra.components.observability.pod_programs import object_state

NODE = {
    "metadata": {"name": "node-1", "labels": {object_state.ZONE_LABEL: "zone-a"}},
    "status": {
        "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
        "conditions": [{"type": "Ready", "status": "Unknown"}],
    },
}
POD = {
    "metadata": {
        "namespace": "esq-data",
        "name": "redis-0",
        "labels": {object_state.NAME_LABEL: "redis"},
    },
    "spec": {"nodeName": "node-1"},
    "status": {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [
            {"name": "redis", "restartCount": 2, "state": {"running": {}}},
            {"name": "probe", "restartCount": 1, "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
        ],
    },
}
DEPLOYMENT = {
    "metadata": {"namespace": "esq-services", "name": "whatsapp-api"},
    "spec": {"replicas": 2},
    "status": {"readyReplicas": 1},
}
AGENTS = {
    "metadata": {"namespace": "esq-node-agents", "name": "log-agent"},
    "spec": {},
    "status": {"desiredNumberScheduled": 3, "numberReady": 2},
}
JOB = {
    "metadata": {"namespace": "esq-data", "name": "backup-1"},
    "status": {"conditions": [{"type": "Failed", "status": "True"}]},
}
CRONJOB = {
    "metadata": {"namespace": "esq-data", "name": "backup-full"},
    "status": {"lastSuccessfulTime": "1970-01-01T01:00:00Z"},
}
VOLUME = {"name": "data", "pvcRef": {"name": "data-redis-0"}, "usedBytes": 25, "capacityBytes": 100}
SUMMARY = {
    "node": {
        "nodeName": "node-1",
        "fs": {"availableBytes": 10, "usedBytes": 30, "capacityBytes": 50},
        "memory": {"availableBytes": 7},
    },
    "pods": [{"volume": [VOLUME, {"name": "tmp", "usedBytes": 1, "capacityBytes": 2}]}],
}
LISTS: dict[str, list[dict[str, Any]]] = {
    **{name: [] for name in object_state.PATHS},
    "nodes": [NODE],
    "pods": [POD],
    "Deployment": [DEPLOYMENT],
    "DaemonSet": [AGENTS],
    "jobs": [JOB],
    "cronjobs": [CRONJOB],
    "summaries": [SUMMARY],
    "faults": [POD],
}


def lines_of(lists: dict[str, list[dict[str, Any]]]) -> set[str]:
    return set(object_state.render(object_state.samples(lists)).splitlines())


def test_samples_of_every_kind() -> None:
    node = 'node="node-1",zone="zone-a"'
    pod = 'namespace="esq-data",pod="redis-0",service="redis",zone="zone-a"'
    waiting = 'container="probe",' + pod.replace("service=", 'reason="CrashLoopBackOff",service=')
    claim = 'node="node-1",persistentvolumeclaim="data-redis-0",zone="zone-a"'
    workload = 'kind="Deployment",namespace="esq-services",service="whatsapp-api"'
    agents = 'kind="DaemonSet",namespace="esq-node-agents",service="log-agent"'
    assert lines_of(LISTS) == {
        f"kube_node_ready{{{node}}} 0",
        f"node_filesystem_avail_bytes{{{node}}} 10",
        f"node_filesystem_size_bytes{{{node}}} 40",
        f"node_memory_available_bytes{{{node}}} 7",
        f"kubelet_volume_stats_used_bytes{{{claim}}} 25",
        f"kubelet_volume_stats_capacity_bytes{{{claim}}} 100",
        f"kube_workload_replicas{{{workload}}} 2",
        f"kube_workload_ready_replicas{{{workload}}} 1",
        f"kube_workload_replicas{{{agents}}} 3",
        f"kube_workload_ready_replicas{{{agents}}} 2",
        f"kube_pod_ready{{{pod}}} 1",
        f"kube_pod_restarts_total{{{pod}}} 3",
        f"kube_pod_waiting{{{waiting}}} 1",
        'kube_job_failed{name="backup-1",namespace="esq-data"} 1',
        'kube_cronjob_last_success_timestamp_seconds{name="backup-full",namespace="esq-data"} 3600',
        "esq_fault_objects{} 1",
    }


def test_every_metric_is_scraped() -> None:
    assert {line.partition("{")[0] for line in lines_of(LISTS)} == set(scraped_metrics.OBJECT_STATE.metrics)


def test_kubelet_that_does_not_answer_only_loses_its_own_metrics() -> None:
    def read(path: str) -> dict[str, Any]:
        if path.startswith("https://10.0.0.1:10250/"):
            raise TimeoutError
        return {"items": [NODE] if path == object_state.PATHS["nodes"] else []}

    lists = object_state.read_lists(read)
    assert lines_of(lists) == {'kube_node_ready{node="node-1",zone="zone-a"} 0', "esq_fault_objects{} 0"}


def test_api_server_that_does_not_answer_is_an_error() -> None:
    def read(path: str) -> dict[str, Any]:
        raise TimeoutError(path)

    with pytest.raises(TimeoutError):
        object_state.read_lists(read)


def test_scrapes_of_two_replicas_share_a_reading() -> None:
    now, reads = [0.0], []

    def read(path: str) -> dict[str, Any]:
        reads.append(path)
        return {"items": []}

    reading = object_state.SharedReading(read, lambda: now[0])
    first = reading.metrics()
    now[0] = object_state.MAX_AGE_SECONDS - 0.1
    assert reading.metrics() == first
    assert len(reads) == len(object_state.PATHS)
    now[0] = object_state.MAX_AGE_SECONDS
    reading.metrics()
    assert len(reads) == 2 * len(object_state.PATHS)
