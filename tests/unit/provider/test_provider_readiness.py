"""When objects are ready, judged on what a cluster has said of them."""

from __future__ import annotations

from typing import Any

import pytest

from infra.provider.readiness import Hopeless, awaited, pod_faults

Object = dict[str, Any]
READY = {"type": "Ready", "status": "True"}


def obj(kind: str, spec: Object | None = None, status: Object | None = None, **annotations: str) -> Object:
    version = {
        **dict.fromkeys(("Deployment", "StatefulSet", "DaemonSet"), "apps/v1"),
        "Job": "batch/v1",
        "Ingress": "networking.k8s.io/v1",
        "Thing": "example.org/v1",
        "CustomResourceDefinition": "apiextensions.k8s.io/v1",
    }
    return {
        "apiVersion": version.get(kind, "v1"),
        "kind": kind,
        "metadata": {"generation": 2, "annotations": annotations},
        "spec": spec or {},
        "status": {"observedGeneration": 2, **(status or {})},
    }


ALL = {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "readyReplicas": 2}
ADDRESS = {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}
ESTABLISHED = {"conditions": [{"type": "Established", "status": "True"}]}


@pytest.mark.parametrize(
    ("live", "missing"),
    [
        (obj("Deployment", {"replicas": 2}, ALL), None),
        (obj("Deployment", {"replicas": 0}), None),
        (obj("Deployment", {"replicas": 2}, {**ALL, "replicas": 3}), "2 of 2 current"),
        (obj("Deployment", {"replicas": 2}, {**ALL, "availableReplicas": 1}), "1 available"),
        (obj("Deployment", {"replicas": 2}, {**ALL, "observedGeneration": 1}), "see the change"),
        (obj("StatefulSet", {"replicas": 2}, ALL), None),
        (obj("StatefulSet", {"replicas": 2}, {**ALL, "updatedReplicas": 1}), "1 current"),
        (obj("StatefulSet", {"replicas": 2, "updateStrategy": {"type": "OnDelete"}}, {**ALL, "updatedReplicas": 0}), None),
        (obj("DaemonSet", {}, {"desiredNumberScheduled": 1, "numberAvailable": 1, "updatedNumberScheduled": 1}), None),
        (obj("DaemonSet", {}, {"desiredNumberScheduled": 1}), "0 of 1"),
        (obj("ReplicationController", {"replicas": 1}), "0 of 1"),
        (obj("Pod", {}, {"conditions": [READY]}), None),
        (obj("Pod", {}, {"phase": "Succeeded"}), None),
        (obj("Pod", {}, {"conditions": [{"type": "PodScheduled", "status": "True"}]}), "Initialized"),
        (obj("Job", {}, {"conditions": [{"type": "Complete", "status": "True"}]}), None),
        (obj("Job", {}, {"active": 1}), "1 active"),
        (obj("Service", {"type": "ClusterIP"}), None),
        (obj("Service", {"type": "LoadBalancer"}), "load balancer"),
        (obj("Service", {"type": "LoadBalancer"}, ADDRESS), None),
        (obj("Ingress"), "ingress"),
        (obj("PersistentVolumeClaim", {}, {"phase": "Pending"}), None),
        (obj("PersistentVolumeClaim"), "seen"),
        (obj("PersistentVolume", {}, {"phase": "Released"}), "now Released"),
        (obj("ResourceQuota", {"hard": {"pods": "1"}}), "quota"),
        (obj("CustomResourceDefinition", {}, ESTABLISHED), None),
        (obj("CustomResourceDefinition"), "established"),
        (obj("ConfigMap"), None),
        (obj("Thing", {}, {}, **{"pulumi.com/waitFor": "condition=Ready"}), "condition Ready"),
        (obj("Thing", {}, {"conditions": [READY]}, **{"pulumi.com/waitFor": "condition=ready"}), None),
        (obj("Thing", {}, {"conditions": [READY]}, **{"pulumi.com/waitFor": "condition=Ready=False"}), "to be False"),
        (obj("Ingress", {}, {}, **{"pulumi.com/skipAwait": "true"}), None),
    ],
)  # fmt: skip
def test_what_is_missing_is_said(live: Object, missing: str | None) -> None:
    found = awaited(live)
    assert found is None if missing is None else missing in str(found)


@pytest.mark.parametrize(
    ("live", "why"),
    [
        (obj("Deployment", {}, {"conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "no progress"}]}), "no progress"),
        (obj("Job", {}, {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]}), "BackoffLimitExceeded"),
        (obj("PersistentVolumeClaim", {}, {"phase": "Lost"}), "lost"),
        (obj("Thing", {}, {}, **{"pulumi.com/waitFor": "jsonpath={.a}"}), "not understood"),
    ],
)  # fmt: skip
def test_what_never_gets_ready_is_given_up(live: Object, why: str) -> None:
    with pytest.raises(Hopeless, match=why):
        awaited(live)


def container(**fields: Any) -> Object:
    return {"name": "main", "ready": False, **fields}


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        ({"conditions": [{"type": "PodScheduled", "status": "False", "message": "no node"}]}, "[Pod p]: no node"),
        ({"containerStatuses": [container(state={"waiting": {"reason": "ErrImagePull", "message": "404"}})]}, "[Pod p/main]: ErrImagePull: 404"),
        ({"initContainerStatuses": [container(state={"terminated": {"exitCode": 3, "reason": "Error"}})]}, "[Pod p/main]: ended with 3: Error"),
        ({"containerStatuses": [container(state={"running": {"startedAt": "now"}})]}, "[Pod p/main]: runs and is not ready"),
    ],
)  # fmt: skip
def test_a_pods_fault_is_one_line(status: Object, fault: str) -> None:
    assert pod_faults({"metadata": {"name": "p"}, "status": status}) == [fault]


def test_a_pod_that_starts_has_no_fault() -> None:
    starting = {"containerStatuses": [container(state={"waiting": {"reason": "ContainerCreating"}})]}
    assert pod_faults({"metadata": {"name": "p"}, "status": starting}) == []
