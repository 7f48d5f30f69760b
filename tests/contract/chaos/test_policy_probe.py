"""The check whether a cluster enforces NetworkPolicies, on a cluster in which no pod runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kubernetes import client

from chaos import policy_probe
from chaos.traffic import in_cluster
from infra.kubernetes import api_client
from infra.names import SERVICES_NAMESPACE
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from tests.servers.apiserver import ApiServer

pytestmark = [
    pytest.mark.contract,
    # The Kubernetes client calls what urllib3 is about to remove.
    pytest.mark.filterwarnings("ignore:HTTPResponse.getheaders:DeprecationWarning"),
]


@pytest.fixture
def _namespace(core: client.CoreV1Api) -> None:
    if SERVICES_NAMESPACE not in {item.metadata.name for item in core.list_namespace().items}:
        core.create_namespace({"metadata": {"name": SERVICES_NAMESPACE}})
    accounts = core.list_namespaced_service_account
    wait_until("a service account", lambda: bool(accounts(SERVICES_NAMESPACE).items), 20)


@pytest.mark.usefixtures("_namespace")
def test_without_a_result_policies_count_as_not_enforced(core: client.CoreV1Api) -> None:
    problem = policy_probe.find_problem(core.api_client, "registry.example/esq", timeout_seconds=1)
    assert "it is not known whether" in problem
    wait_until("no leftovers", lambda: not core.list_namespaced_pod(SERVICES_NAMESPACE).items, 20)
    networking = client.NetworkingV1Api(core.api_client)
    assert not networking.list_namespaced_network_policy(SERVICES_NAMESPACE).items


@pytest.mark.usefixtures("_namespace")
def test_a_user_without_rights_gets_a_reason(server: ApiServer) -> None:
    api = api_client(server.kubeconfig_of("nobody"))
    assert "cannot be checked" in policy_probe.find_problem(api, "registry.example/esq", timeout_seconds=1)


@pytest.mark.usefixtures("_namespace")
def test_policies_of_others_that_allow_traffic_are_named(core: client.CoreV1Api) -> None:
    """Policies add up: an isolation would drop nothing that another one permits."""
    networking = client.NetworkingV1Api(core.api_client)
    spec = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}
    networking.create_namespaced_network_policy(
        SERVICES_NAMESPACE, {"metadata": {"name": "allow-all"}, "spec": spec}
    )
    try:
        problem = policy_probe.find_problem(core.api_client, "registry.example/esq", timeout_seconds=1)
    finally:
        networking.delete_namespaced_network_policy("allow-all", SERVICES_NAMESPACE)
    assert f"{SERVICES_NAMESPACE}/allow-all may allow" in problem


def test_own_pods_obey_the_restricted_standard(
    core: client.CoreV1Api, monkeypatch: pytest.MonkeyPatch, namespace: str
) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    core.patch_namespace(namespace, {"metadata": {"labels": labels}})
    wait_until("a service account", lambda: bool(core.list_namespaced_service_account(namespace).items), 20)
    monkeypatch.setattr(policy_probe, "SERVICES_NAMESPACE", namespace)
    problem = policy_probe.find_problem(core.api_client, "registry.example/esq", timeout_seconds=1)
    assert "the server has no address" in problem
    template = in_cluster.job("esq-traffic-0123", "registry.example/esq")["spec"]["template"]
    created = core.create_namespaced_pod(
        namespace, {"metadata": {"name": "traffic"}, "spec": template["spec"]}, dry_run="All"
    )
    assert created.metadata.name == "traffic"
