"""A deployed environment stays bound to its backend and cluster: two real API servers, real stacks."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes import client

from cli.actions.deploy import deploy
from cli.actions.deployment_target import open_deployed_target
from cli.actions.destroy import destroy
from cli.actions.environment_rebind import rebind
from cli.actions.preview import preview
from cli.environment import Environment, load_environment
from infra.cluster_identity import cluster_uid, deployed_environment
from infra.errors import EsqError, ProblemsError, UsageError
from infra.kubernetes import api_client
from infra.names import ZONE_LABEL
from infra.progress import RecordingProgress
from infra.stack_settings import Layer
from tests.servers.apiserver import ApiServer
from tests.unit.cli.definitions import STAGING, write_definition

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.contract,
    # The SDK leaves pipes of its event server to the collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    # The Kubernetes client calls what urllib3 is about to remove.
    pytest.mark.filterwarnings("ignore:HTTPResponse.getheaders:DeprecationWarning"),
]
LAYERS = [Layer.CLUSTER]


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ApiServer, ApiServer]]:
    servers = (ApiServer(tmp_path_factory.mktemp("own")), ApiServer(tmp_path_factory.mktemp("foreign")))
    try:
        for server in servers:
            server.start()
            _make_deployable(api_client(server.kubeconfig))
        yield servers
    finally:
        for server in servers:
            server.stop()


def _make_deployable(api: client.ApiClient) -> None:
    client.StorageV1Api(api).create_storage_class(
        {
            "metadata": {"name": STAGING["storage_class"]},
            "provisioner": "none",
            "volumeBindingMode": "WaitForFirstConsumer",
        }
    )
    for zone in STAGING["zones"]:
        client.CoreV1Api(api).create_node({"metadata": {"name": zone, "labels": {ZONE_LABEL: zone}}})


class Machine:
    """A machine with its own state, and the definition of `staging`."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch

    def define(self, cluster: ApiServer, **changes: Any) -> Environment:
        """Write the definition and return the environment."""
        self._monkeypatch.setenv("XDG_STATE_HOME", str(self._folder / "state"))
        self._monkeypatch.setenv("ESQ_ENVIRONMENTS_DIR", str(self._folder))
        self._folder.mkdir(exist_ok=True)
        reference = {"kubeconfig": str(cluster.kubeconfig), "context": "test"}
        write_definition(self._folder, "staging", cluster=reference, **changes)
        return load_environment("staging")


def test_environment_stays_what_was_deployed(
    clusters: tuple[ApiServer, ApiServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, foreign = clusters
    machine, progress = Machine(tmp_path / "one", monkeypatch), RecordingProgress()
    backend = (tmp_path / "backend").as_uri()
    environment = machine.define(own, backend=backend)
    deploy(environment, LAYERS, progress)
    record = environment.load_record()
    assert record is not None
    assert (record.backend, record.cluster_uid) == (backend, cluster_uid(own.kubeconfig))
    assert deployed_environment(own.kubeconfig) == "staging"

    with pytest.raises(ProblemsError, match="nothing was changed") as error:
        deploy(machine.define(own), LAYERS, progress)
    assert [problem.location for problem in error.value.problems] == ["backend"]
    with pytest.raises(UsageError, match="holds the environment `staging`"):
        preview(Machine(tmp_path / "two", monkeypatch).define(own), LAYERS, progress)

    rebound = machine.define(foreign, backend=backend)
    for command in (
        lambda: deploy(rebound, LAYERS, progress),
        lambda: destroy(rebound, LAYERS, progress, purge=True),
        lambda: open_deployed_target(rebound, progress),
    ):
        with pytest.raises(ProblemsError) as error:
            command()
        assert [problem.location for problem in error.value.problems] == ["cluster (UID of kube-system)"]
    assert deployed_environment(foreign.kubeconfig) is None
    leases = client.CoordinationV1Api(api_client(foreign.kubeconfig)).list_lease_for_all_namespaces().items
    assert [lease.metadata.name for lease in leases if lease.metadata.name.startswith("esq")] == []

    with pytest.raises(UsageError, match="requires confirmation") as confirmation:
        rebind(rebound, None, progress)
    assert cluster_uid(foreign.kubeconfig) in confirmation.value.detail
    assert len(rebind(rebound, "staging", progress)) == 1
    with pytest.raises(EsqError, match="is not deployed"):
        open_deployed_target(rebound, progress)
    rebind(machine.define(own, backend=backend), "staging", progress)

    moved = machine.define(own, backend=(tmp_path / "moved").as_uri())
    shutil.copytree(tmp_path / "backend", tmp_path / "moved")
    with pytest.raises(ProblemsError, match="nothing was changed"):
        open_deployed_target(moved, progress)
    assert rebind(moved, "staging", progress) == [
        f"backend: recorded: {backend}, now: {moved.backend}",
    ]
    assert [
        change.resource
        for result in preview(moved, LAYERS, progress).layers or []
        for change in result.changes
    ] == []

    environment = moved
    monkeypatch.setenv("ESQ_LOCAL_CLUSTER", "mine")
    store_of_another = load_environment("local").offsite_store_dir
    store_of_another.mkdir(parents=True)
    destroy(load_environment("staging"), list(Layer), progress, purge=True)
    assert store_of_another.is_dir()
    assert environment.load_record() is None
