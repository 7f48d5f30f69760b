"""What an experiment resolves in a cluster that is not embedded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from chaos.adapters.kubernetes import KubernetesFaults
from chaos.target import Target
from infra.errors import UsageError
from infra.names import DATA_NAMESPACE, NAME_LABEL, PART_OF_LABEL, PRODUCT, SERVICES_NAMESPACE, ZONE_LABEL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kubernetes import client

    from tests.servers.apiserver import ApiServer

pytestmark = [
    pytest.mark.contract,
    # The Kubernetes client calls what urllib3 is about to remove.
    pytest.mark.filterwarnings("ignore:HTTPResponse.getheaders:DeprecationWarning"),
]


@pytest.fixture
def target(server: ApiServer, tmp_path: Path) -> Target:
    unused: Any = None
    return Target(
        environment="staging",
        folder=tmp_path,
        kubeconfig=server.kubeconfig,
        cluster=None,
        credentials=unused,
        find_problems=list,
        open_context=unused,
        endpoints=unused,
        campaign_command=unused,
        rotation_command=(),
        read_token_key=str,
    )


@pytest.fixture(autouse=True)
def _nodes_and_pods(core: client.CoreV1Api) -> Iterator[None]:
    nodes = {"node-1": "eu-1a", "node-2": "eu-1b"}
    pods = [
        (DATA_NAMESPACE, "postgres-0", "node-1", {NAME_LABEL: "postgres", PART_OF_LABEL: PRODUCT}),
        (DATA_NAMESPACE, "postgres-1", "node-2", {NAME_LABEL: "postgres", PART_OF_LABEL: PRODUCT}),
        (SERVICES_NAMESPACE, "api-x", "node-1", {NAME_LABEL: "api", PART_OF_LABEL: PRODUCT}),
        (SERVICES_NAMESPACE, "bystander", "node-1", {"app": "other"}),
    ]
    known = {item.metadata.name for item in core.list_namespace().items}
    for namespace in {DATA_NAMESPACE, SERVICES_NAMESPACE} - known:
        core.create_namespace({"metadata": {"name": namespace}})
    for node, zone in nodes.items():
        core.create_node({"metadata": {"name": node, "labels": {ZONE_LABEL: zone}}})
    for namespace, name, node, labels in pods:
        spec = {"nodeName": node, "containers": [{"name": "main", "image": "registry.example/esq"}]}
        core.create_namespaced_pod(namespace, {"metadata": {"name": name, "labels": labels}, "spec": spec})
    yield
    for namespace, name, _, _ in pods:
        core.delete_namespaced_pod(name, namespace, grace_period_seconds=0)
    for node in nodes:
        core.delete_node(node)


def test_zone_is_that_of_its_nodes_and_holds_the_pods_of_the_platform(target: Target) -> None:
    assert isinstance(target.faults, KubernetesFaults)
    assert target.resolve_zone("eu-1a") == "eu-1a"
    assert target.resolve_zone("postgres-1") == "eu-1b"
    assert [pod.pod for pod in target.pods_in_zone("eu-1a")] == ["postgres-0", "api-x"]
    location = target.resolve_pod("postgres-0")
    assert (location.node, location.images) == ("node-1", {"main": "registry.example/esq"})


def test_node_is_named_or_that_of_a_pod_and_must_take_pods(target: Target, core: client.CoreV1Api) -> None:
    assert target.resolve_node("node-2") == "node-2"
    assert target.resolve_node("postgres-1") == "node-2"
    core.patch_node("node-2", {"spec": {"unschedulable": True}})
    with pytest.raises(UsageError, match="cordoned already"):
        target.resolve_node("postgres-1")


def test_hosts_of_zones_are_refused(target: Target) -> None:
    with pytest.raises(UsageError, match="needs access to the hosts"):
        _ = target.zones
