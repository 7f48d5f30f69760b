"""Requirements of an existing cluster, and its identity, on a real API server."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from kubernetes import client

from infra import cluster_preflight
from infra.cluster_identity import cluster_uid, deployed_environment
from infra.environment_definition import LOCAL_DEFINITION, EnvironmentDefinition
from infra.errors import EsqError
from infra.names import DATA_NAMESPACE, ENVIRONMENT_LABEL, ZONE_LABEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.apiserver import ApiServer

pytestmark = [
    pytest.mark.contract,
    # The client of Kubernetes calls it for each response that is an error.
    pytest.mark.filterwarnings("ignore:HTTPResponse.getheaders:DeprecationWarning"),
]
ZONES = ("one", "two", "three")


@pytest.fixture
def prefix() -> str:
    return f"p{uuid.uuid4().hex[:6]}"


@pytest.fixture
def definition(prefix: str) -> EnvironmentDefinition:
    zones = tuple(f"{prefix}-{zone}" for zone in ZONES)
    return LOCAL_DEFINITION.model_copy(update={"zones": zones, "storage_class": prefix})


@pytest.fixture
def ready_cluster(api: client.ApiClient, prefix: str) -> Iterator[None]:
    core, storage = client.CoreV1Api(api), client.StorageV1Api(api)
    storage.create_storage_class(
        {
            "metadata": {"name": prefix},
            "provisioner": "none",
            "volumeBindingMode": "WaitForFirstConsumer",
        }
    )
    nodes = [f"{prefix}-{zone}" for zone in ZONES]
    for node in nodes:
        core.create_node({"metadata": {"name": node, "labels": {ZONE_LABEL: node}}})
    yield
    for node in nodes:
        core.delete_node(node)


@pytest.mark.usefixtures("ready_cluster")
def test_ready_cluster_has_no_problems(server: ApiServer, definition: EnvironmentDefinition) -> None:
    assert cluster_preflight.check(server.kubeconfig, definition) == []


def test_all_problems_are_told_at_once(
    server: ApiServer, api: client.ApiClient, definition: EnvironmentDefinition, prefix: str
) -> None:
    # Without any label: its zone is unknown, and that is no error of the check.
    client.CoreV1Api(api).create_node({"metadata": {"name": prefix}})
    rules = [
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list"]},
        {"apiGroups": ["storage.k8s.io"], "resources": ["storageclasses"], "verbs": ["get", "list"]},
    ]
    rbac = client.RbacAuthorizationV1Api(api)
    rbac.create_cluster_role({"metadata": {"name": prefix}, "rules": rules})
    rbac.create_cluster_role_binding(
        {
            "metadata": {"name": prefix},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": prefix},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": prefix}],
        }
    )
    problems = cluster_preflight.check(server.kubeconfig_of(prefix), definition)
    client.CoreV1Api(api).delete_node(prefix)
    assert [problem.location for problem in problems] == ["storage_class", "zones", "cluster"]
    assert f"no StorageClass `{prefix}`" in problems[0].message
    assert all(f"{prefix}-{zone}" in problems[1].message for zone in ZONES)
    assert "create namespaces" in problems[2].message
    assert "create pods/exec in esq-data" in problems[2].message
    assert "list nodes" not in problems[2].message


@pytest.mark.usefixtures("ready_cluster")
def test_immediate_binding_of_volumes_is_a_problem(
    server: ApiServer, api: client.ApiClient, definition: EnvironmentDefinition, prefix: str
) -> None:
    client.StorageV1Api(api).create_storage_class(
        {"metadata": {"name": f"{prefix}-immediate"}, "provisioner": "none"}
    )
    immediate = definition.model_copy(update={"storage_class": f"{prefix}-immediate"})
    (problem,) = cluster_preflight.check(server.kubeconfig, immediate)
    assert "Immediate" in problem.message


def test_old_version_is_a_problem(
    server: ApiServer, definition: EnvironmentDefinition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_preflight, "MINIMUM_VERSION", (1, 999))
    problems = cluster_preflight.check(server.kubeconfig, definition)
    assert "1.999" in problems[0].remedy


def test_cluster_is_identified_and_names_its_environment(server: ApiServer, api: client.ApiClient) -> None:
    core = client.CoreV1Api(api)
    assert cluster_uid(server.kubeconfig) == core.read_namespace("kube-system").metadata.uid
    assert deployed_environment(server.kubeconfig) is None
    labels = {ENVIRONMENT_LABEL: "staging"}
    core.create_namespace({"metadata": {"name": DATA_NAMESPACE, "labels": labels}})
    assert deployed_environment(server.kubeconfig) == "staging"
    core.delete_namespace(DATA_NAMESPACE)


def test_every_change_of_the_lease_is_a_required_right() -> None:
    verbs = {right.verb for right in cluster_preflight.required_rights() if right.resource == "leases"}
    assert verbs == {"get", "create", "update", "patch", "delete"}


def test_missing_right_to_identify_the_cluster_is_an_error(server: ApiServer, prefix: str) -> None:
    with pytest.raises(EsqError):
        cluster_uid(server.kubeconfig_of(f"{prefix}-nobody"))
