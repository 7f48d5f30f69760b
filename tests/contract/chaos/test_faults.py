"""Faults through a real API server: what they create, and an undo that is repeated, late or without an injection."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes import client

from chaos.faults import kubernetes as faults
from chaos.faults import node_pods, pod_stress
from chaos.faults.kubectl import FAULT_LABEL
from chaos.pod_location import PodLocation
from infra.names import NAME_LABEL, PART_OF_LABEL, PRODUCT
from infra.subprocesses import CommandFailedError, run
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from chaos.faults import Fault
    from tests.servers.apiserver import ApiServer

pytestmark = [
    pytest.mark.contract,
    # The Kubernetes client calls what urllib3 is about to remove.
    pytest.mark.filterwarnings("ignore:HTTPResponse.getheaders:DeprecationWarning"),
]

NODE = "node-a"
CONTAINER_ID = "containerd://" + "0123456789abcdef" * 4


def _pod(name: str, labels: dict[str, str]) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "nodeName": NODE,
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": name, "image": "registry.example/esq"}],
        },
    }


def _ensure_namespace(core: client.CoreV1Api, name: str) -> None:
    try:
        core.create_namespace({"metadata": {"name": name}})
    except client.ApiException as error:
        if error.status != 409:
            raise


class Cluster:
    """A node with a pod of the platform in each namespace, and one of somebody else's."""

    def __init__(self, core: client.CoreV1Api, kubeconfig: Path, foreign: str) -> None:
        self.core = core
        self.kubeconfig = kubeconfig
        self.foreign = foreign
        core.create_node({"metadata": {"name": NODE}})
        for namespace in faults.NAMESPACES:
            _ensure_namespace(core, namespace)
            core.create_namespaced_pod(
                namespace, _pod(self.pod_name(namespace), {NAME_LABEL: "x", PART_OF_LABEL: PRODUCT})
            )
        core.create_namespaced_pod(foreign, _pod("bystander", {"app": "other"}))

    @staticmethod
    def pod_name(namespace: str) -> str:
        return namespace.replace("esq-", "pod-of-")

    def location(self, namespace: str) -> PodLocation:
        name = self.pod_name(namespace)
        return PodLocation(
            namespace, name, "a", NODE, "uid", {name: CONTAINER_ID}, {name: "registry.example/esq"}
        )

    @property
    def locations(self) -> list[PodLocation]:
        return [self.location(namespace) for namespace in faults.NAMESPACES]

    def picture(self) -> dict[str, Any]:
        """Return what faults may change, and what they may not."""
        networking = client.NetworkingV1Api(self.core.api_client)
        pods = self.core.list_pod_for_all_namespaces().items
        node = self.core.read_node(NODE)
        return {
            "pods": {pod.metadata.name: pod.metadata.labels for pod in pods},
            "terminating": sorted(pod.metadata.name for pod in pods if pod.metadata.deletion_timestamp),
            "node": (node.metadata.labels or {}, bool(node.spec.unschedulable)),
            "policies": sorted(
                policy.metadata.name for policy in networking.list_network_policy_for_all_namespaces().items
            ),
            "namespaces": sorted(item.metadata.name for item in self.core.list_namespace().items),
        }

    def uids(self) -> dict[str, str]:
        """Return the uid by name of the pods on the node."""
        pods = self.core.list_pod_for_all_namespaces(field_selector=f"spec.nodeName={NODE}").items
        return {pod.metadata.name: pod.metadata.uid for pod in pods}

    def adopt_pods(self) -> None:
        """Give the pods of the platform a controller: those without one are not evicted."""
        apps = client.AppsV1Api(self.core.api_client)
        for location in self.locations:
            labels = {NAME_LABEL: "x", PART_OF_LABEL: PRODUCT}
            template = _pod("x", labels)
            del template["spec"]["nodeName"]
            spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
            apps.create_namespaced_replica_set(location.namespace, {"metadata": {"name": "x"}, "spec": spec})
            read = partial(self.core.read_namespaced_pod, location.pod, location.namespace)
            wait_until("an owner", lambda read=read: bool(read().metadata.owner_references), 20)

    def forbid_disruptions(self) -> None:
        """Create a PodDisruptionBudget that permits no eviction; it protects pods that are ready."""
        ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        for location in self.locations:
            self.core.patch_namespaced_pod_status(location.pod, location.namespace, {"status": ready})
        policies = client.PolicyV1Api(self.core.api_client)
        spec = {"maxUnavailable": 0, "selector": {"matchLabels": {NAME_LABEL: "x"}}}
        for namespace in faults.NAMESPACES:
            policies.create_namespaced_pod_disruption_budget(
                namespace, {"metadata": {"name": "x"}, "spec": spec}
            )

    def inject(self, fault: Fault) -> None:
        for command in fault.inject:
            run(command)

    def undo(self, fault: Fault) -> None:
        for command in fault.undo:
            run(command)

    def remove(self) -> None:
        self.core.delete_node(NODE)
        apps, policies = client.AppsV1Api(self.core.api_client), client.PolicyV1Api(self.core.api_client)
        for namespace in faults.NAMESPACES:
            apps.delete_collection_namespaced_replica_set(namespace)
            policies.delete_collection_namespaced_pod_disruption_budget(namespace)
        for pod in self.core.list_pod_for_all_namespaces().items:
            self.core.delete_namespaced_pod(pod.metadata.name, pod.metadata.namespace, grace_period_seconds=0)


@pytest.fixture
def cluster(core: client.CoreV1Api, server: ApiServer, namespace: str) -> Iterator[Cluster]:
    cluster = Cluster(core, server.kubeconfig, namespace)
    yield cluster
    cluster.remove()


UNDOABLE: dict[str, Callable[[Cluster], Fault]] = {
    "node-cordon": lambda cluster: faults.node_cordon(cluster.kubeconfig, NODE),
    "pod-isolation": lambda cluster: faults.pod_isolation(cluster.kubeconfig, "zone-a", cluster.locations),
    "dns-failure": lambda cluster: faults.dns_block(cluster.kubeconfig),
}


@pytest.mark.parametrize("kind", UNDOABLE)
def test_fault_is_undone_twice_and_touches_no_bystander(cluster: Cluster, kind: str) -> None:
    before = cluster.picture()
    fault = UNDOABLE[kind](cluster)
    cluster.inject(fault)
    during = cluster.picture()
    assert during != before
    assert during["pods"]["bystander"] == {"app": "other"}
    cluster.undo(fault)
    assert cluster.picture() == before
    cluster.undo(fault)
    assert cluster.picture() == before


@pytest.mark.parametrize("kind", UNDOABLE)
def test_partial_injection_is_undone(cluster: Cluster, kind: str) -> None:
    before = cluster.picture()
    for commands in range(len(UNDOABLE[kind](cluster).inject)):
        fault = UNDOABLE[kind](cluster)
        for command in fault.inject[:commands]:
            run(command)
        cluster.undo(fault)
        assert cluster.picture() == before


@pytest.mark.parametrize("kind", UNDOABLE)
def test_undo_of_one_fault_leaves_another_one(cluster: Cluster, kind: str) -> None:
    fault = UNDOABLE[kind](cluster)
    cluster.inject(fault)
    during = cluster.picture()
    cluster.undo(UNDOABLE[kind](cluster))
    assert cluster.picture() == during
    cluster.undo(fault)


def test_node_and_pods_of_an_open_fault_are_refused_to_another(cluster: Cluster) -> None:
    for kind in ("node-cordon", "pod-isolation"):
        fault, other = (UNDOABLE[kind](cluster) for _ in range(2))
        cluster.inject(fault)
        with pytest.raises(CommandFailedError):
            cluster.inject(other)
        cluster.undo(other)
        assert FAULT_LABEL in str(cluster.picture())
        cluster.undo(fault)
        assert FAULT_LABEL not in str(cluster.picture())


def test_deleted_pod_ends_with_the_shortest_grace_period(cluster: Cluster) -> None:
    location = cluster.locations[0]
    location = replace(location, pod="running", containers={"running": CONTAINER_ID})
    manifest = _pod("running", {PART_OF_LABEL: PRODUCT})
    manifest["spec"]["terminationGracePeriodSeconds"] = 30
    cluster.core.create_namespaced_pod(location.namespace, manifest)
    cluster.inject(faults.pod_delete(cluster.kubeconfig, location))
    pod = cluster.core.read_namespaced_pod("running", location.namespace)
    assert pod.metadata.deletion_grace_period_seconds == 1
    assert cluster.picture()["terminating"] == ["running"]


def test_drain_evicts_the_pods_of_the_platform_only(cluster: Cluster) -> None:
    before = cluster.uids()
    cluster.adopt_pods()
    fault = faults.node_drain(cluster.kubeconfig, NODE)
    cluster.inject(fault)
    assert cluster.picture()["node"][1]
    assert cluster.uids() == {"bystander": before["bystander"]}
    cluster.undo(fault)
    assert cluster.picture()["node"] == ({}, False)


def test_drain_respects_disruption_budgets(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    before = cluster.uids()
    cluster.adopt_pods()
    cluster.forbid_disruptions()
    monkeypatch.setattr(faults, "DRAIN_TIMEOUT_SECONDS", 2)
    fault = faults.node_drain(cluster.kubeconfig, NODE)
    with pytest.raises(CommandFailedError) as error:
        cluster.inject(fault)
    assert "disruption budget" in error.value.output
    assert cluster.uids() == before
    cluster.undo(fault)
    assert cluster.picture()["node"] == ({}, False)


@pytest.fixture
def node_pod(cluster: Cluster) -> Fault:
    """The kill of a container, whose helper pod never runs here."""
    location = cluster.locations[0]
    return node_pods.container_kill(cluster.kubeconfig, location, location.pod)


def test_helper_pod_is_bounded_and_its_namespace_is_deleted(cluster: Cluster, node_pod: Fault) -> None:
    before = cluster.picture()["namespaces"]
    run(node_pod.inject[0])
    (namespace,) = set(cluster.picture()["namespaces"]) - set(before)
    (helper,) = cluster.core.list_namespaced_pod(namespace).items
    assert helper.spec.active_deadline_seconds == node_pods.MAX_SECONDS
    assert helper.spec.node_name == NODE
    assert helper.metadata.labels[FAULT_LABEL] == namespace.removeprefix(node_pods.NAMESPACE_PREFIX)
    cluster.core.delete_namespaced_pod(helper.metadata.name, namespace, grace_period_seconds=0)
    for _ in range(2):
        cluster.undo(node_pod)
        assert cluster.picture()["namespaces"] == before


def test_undo_of_a_helper_pod_that_was_never_created(cluster: Cluster, node_pod: Fault) -> None:
    before = cluster.picture()
    cluster.undo(node_pod)
    assert cluster.picture() == before


def test_undo_of_stress_ends_with_its_container(cluster: Cluster) -> None:
    location = cluster.locations[0]
    fault = pod_stress.cpu_stress(cluster.kubeconfig, location, location.pod, 1)
    with pytest.raises(CommandFailedError):
        cluster.inject(fault)
    cluster.undo(fault)  # never started
    cluster.core.delete_namespaced_pod(location.pod, location.namespace)
    cluster.undo(fault)  # gone
    terminated = {
        "name": location.pod,
        "containerID": CONTAINER_ID,
        "state": {"terminated": {"exitCode": 137}},
    }
    _restart(cluster, location, terminated)
    cluster.undo(fault)
    _restart(cluster, location, {**terminated, "state": {"running": {}}})
    with pytest.raises(CommandFailedError):  # it runs: only an execution in it can tell
        cluster.undo(fault)
    _restart(cluster, location, {**terminated, "state": {"running": {}}, "containerID": "containerd://other"})
    cluster.undo(fault)


def _restart(cluster: Cluster, location: PodLocation, status: dict[str, Any]) -> None:
    """Create the pod if it is gone, and report this status of its container."""
    pods = [pod.metadata.name for pod in cluster.core.list_namespaced_pod(location.namespace).items]
    if location.pod not in pods:
        cluster.core.create_namespaced_pod(location.namespace, _pod(location.pod, {}))
    full = {"image": "", "imageID": "", "ready": False, "restartCount": 0, **status}
    cluster.core.patch_namespaced_pod_status(
        location.pod, location.namespace, {"status": {"containerStatuses": [full]}}
    )
