"""Load tests in a cluster as a real API server and its controllers see them; without nodes, no pod runs."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from cli.actions.load.stop import delete_runs
from infra.kubernetes import get_or_none
from infra.names import SERVICES_NAMESPACE
from infra.progress import RecordingProgress
from loadtests.in_cluster.cluster import LoadCluster
from loadtests.in_cluster.manifests import RUN_LABEL, ClusterRun
from loadtests.protocol import LoadProfile, LoadTarget
from loadtests.shapes import Shape
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from tests.servers.apiserver import ApiServer

pytestmark = [
    pytest.mark.contract,
    # The Kubernetes client calls what urllib3 is about to remove.
    pytest.mark.filterwarnings("ignore:HTTPResponse.getheaders:DeprecationWarning"),
]

TARGET = LoadTarget(url="https://edge", tokens={"acme": "first"})
TIMEOUT_SECONDS = 60
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}


@pytest.fixture
def run(core: client.CoreV1Api) -> ClusterRun:
    """A run in the namespace of the services, with its rules for pods."""
    if get_or_none(lambda: core.read_namespace(SERVICES_NAMESPACE)) is None:
        core.create_namespace({"metadata": {"name": SERVICES_NAMESPACE, "labels": RESTRICTED}})
    accounts = core.list_namespaced_service_account
    wait_until("the service account", lambda: bool(accounts(SERVICES_NAMESPACE).items), TIMEOUT_SECONDS)
    profile = LoadProfile(shape=Shape.STEADY, rate=10, duration_seconds=60)
    return ClusterRun(f"esq-load-{uuid.uuid4().hex[:8]}", "example.com/loadtests", "api", profile, 2)


def remains(core: client.CoreV1Api, run: ClusterRun) -> list[str]:
    """Return kind and name of every object of a run."""
    batch, policies = client.BatchV1Api(core.api_client), client.NetworkingV1Api(core.api_client)
    lists = {
        "job": batch.list_namespaced_job,
        "pod": core.list_namespaced_pod,
        "policy": policies.list_namespaced_network_policy,
        "secret": core.list_namespaced_secret,
        "service": core.list_namespaced_service,
    }
    return [
        f"{kind} {item.metadata.name}"
        for kind, list_objects in lists.items()
        for item in list_objects(SERVICES_NAMESPACE, label_selector=f"{RUN_LABEL}={run.name}").items
    ]


def test_objects_of_a_run_are_accepted_and_deleted_together(
    server: ApiServer, core: client.CoreV1Api, run: ClusterRun
) -> None:
    cluster = LoadCluster(server.kubeconfig)
    cluster.create(run, TARGET, None)

    def pods() -> list[str]:
        return [name for name in remains(core, run) if name.startswith("pod ")]

    wait_until("a master and two workers", lambda: len(pods()) == 3, TIMEOUT_SECONDS)
    [running] = cluster.running()
    assert (running.name, running.scenario) == (run.name, "api")
    assert not cluster.has_ended(run)
    cluster.delete(run.name)
    assert f"secret {run.name}" not in remains(core, run), "its tokens are gone at once"
    wait_until("nothing", lambda: not remains(core, run), TIMEOUT_SECONDS)
    assert cluster.has_ended(run)


def test_stop_deletes_a_run_whose_tool_was_killed_and_names_it(
    server: ApiServer, core: client.CoreV1Api, run: ClusterRun
) -> None:
    LoadCluster(server.kubeconfig).create(run, TARGET, None)
    progress = RecordingProgress()
    [ended] = delete_runs(server.kubeconfig, progress)
    assert f"`api` in the cluster (Job {run.name}) since 20" in ended
    assert remains(core, run) == []
    assert delete_runs(server.kubeconfig, progress) == []


def test_tokens_of_a_run_are_replaced(server: ApiServer, core: client.CoreV1Api, run: ClusterRun) -> None:
    cluster = LoadCluster(server.kubeconfig)
    cluster.create(run, TARGET, None)
    wait_until("a pod", lambda: any(name.startswith("pod ") for name in remains(core, run)), TIMEOUT_SECONDS)
    before = core.read_namespaced_secret(run.name, SERVICES_NAMESPACE).data
    cluster.replace_config(run, TARGET.model_copy(update={"tokens": {"acme": "second"}}), None)
    assert core.read_namespaced_secret(run.name, SERVICES_NAMESPACE).data != before
    pods = core.list_namespaced_pod(SERVICES_NAMESPACE, label_selector=f"{RUN_LABEL}={run.name}").items
    assert all("esq/load-config" in pod.metadata.annotations for pod in pods), "the kubelet looks again"
    delete_runs(server.kubeconfig, RecordingProgress())


def test_run_that_cannot_be_created_completely_leaves_nothing(
    server: ApiServer, core: client.CoreV1Api, run: ClusterRun
) -> None:
    cluster = LoadCluster(server.kubeconfig)
    large = TARGET.model_copy(update={"tokens": {"acme": "x" * (1 << 20)}})  # above the limit of a Secret
    with pytest.raises(Exception, match="rejects"):
        cluster.create(run, large, None)
    cluster.delete(run.name)
    wait_until("nothing", lambda: not remains(core, run), TIMEOUT_SECONDS)
    with pytest.raises(ApiException):
        core.read_namespaced_secret(run.name, SERVICES_NAMESPACE)
