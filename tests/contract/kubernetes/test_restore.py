"""The operations of an in-place restore on a real API server, whose controllers start and delete the pods."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes import client

from cli.actions import backup, restore
from cli.actions.restore import NothingRestoredError, restore_in_place
from cli.actions.restore_operations import REQUEST, RestoreOperations
from infra.components.backup import VERIFIER
from infra.components.backup.pod_programs.backup_selection import RestorePlan
from infra.components.component_health import PodUnreachableError
from infra.errors import EsqError
from infra.kubernetes import get_or_none
from infra.names import DATA_NAMESPACE, NAME_LABEL, PART_OF_LABEL, PRODUCT, SERVICES_NAMESPACE
from infra.platform_settings import PlatformSettings
from infra.processes import PROCESSES
from infra.progress import RecordingProgress
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.apiserver import ApiServer

pytestmark = [
    pytest.mark.contract,
    # The Kubernetes client calls what urllib3 is about to remove.
    pytest.mark.filterwarnings("ignore:HTTPResponse.getheaders:DeprecationWarning"),
]


def manifest(name: str, **spec: object) -> dict[str, Any]:
    labels = {NAME_LABEL: name, PART_OF_LABEL: PRODUCT}
    pod = {"containers": [{"name": "main", "image": "none"}]}
    template = {"metadata": {"labels": labels}, "spec": pod}
    return {
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": labels}, "template": template, **spec},
    }


class Platform:
    """The workloads that a restore stops and starts; backups are known only while the verifier runs."""

    def __init__(
        self, server: ApiServer, core: client.CoreV1Api, settings: PlatformSettings, folder: Path
    ) -> None:
        self.core, self.apps = core, client.AppsV1Api(core.api_client)
        environment = SimpleNamespace(name="local", definition=settings, folder=folder)
        self.target: Any = SimpleNamespace(kubeconfig=server.kubeconfig, environment=environment)
        self.backups: list[str] = []
        self.failing: set[str] = set()

    def deploy(self) -> None:
        existing = {namespace.metadata.name for namespace in self.core.list_namespace().items}
        for namespace in {DATA_NAMESPACE, SERVICES_NAMESPACE} - existing:
            self.core.create_namespace({"metadata": {"name": namespace}})
        for process in PROCESSES:
            self.apps.create_namespaced_deployment(SERVICES_NAMESPACE, manifest(process.name, replicas=2))
        self.apps.create_namespaced_deployment(DATA_NAMESPACE, manifest(VERIFIER, replicas=1))
        claim = {
            "metadata": {"name": "data"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "none",
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }
        spec = {"replicas": 3, "serviceName": "postgres", "podManagementPolicy": "Parallel"}
        postgres = manifest("postgres", **spec, volumeClaimTemplates=[claim])
        self.apps.create_namespaced_stateful_set(DATA_NAMESPACE, postgres)
        wait_until("the volumes", lambda: len(self.volumes()) == 3, 60)

    def replicas(self) -> set[tuple[str, int]]:
        listed = [self.apps.list_namespaced_deployment(name) for name in (DATA_NAMESPACE, SERVICES_NAMESPACE)]
        return {(item.metadata.name, item.spec.replicas) for part in listed for item in part.items}

    def volumes(self) -> set[str]:
        claims = self.core.list_namespaced_persistent_volume_claim(DATA_NAMESPACE).items
        return {claim.metadata.uid for claim in claims}

    def request(self) -> Any:
        return get_or_none(lambda: self.core.read_namespaced_config_map(REQUEST, DATA_NAMESPACE))

    def run_backup_job(self, *_: object, full: bool) -> dict[str, Any]:
        kind = "full" if full else "last"
        if kind in self.failing:
            raise EsqError(f"the {kind} backup failed")
        self.backups.append(kind)
        return {"backups": [{"label": "L1"}]}

    def select_backup(self, *_: object) -> RestorePlan:
        if (VERIFIER, 1) not in self.replicas():
            raise PodUnreachableError("no pods")
        return RestorePlan(None, ("--type=time",))


RUNNING = {*((process.name, 2) for process in PROCESSES), (VERIFIER, 1)}
STOPPED = {(name, 0) for name, _ in RUNNING}


@pytest.fixture
def platform(
    server: ApiServer, core: client.CoreV1Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Platform:
    platform = Platform(
        server, core, PlatformSettings(zones=("a", "b", "c"), storage_class="none", simulator=True), tmp_path
    )
    if get_or_none(lambda: core.read_namespace(DATA_NAMESPACE)) is None:
        platform.deploy()
    monkeypatch.setattr(restore, "open_deployed_target", lambda *_, **__: platform.target)
    monkeypatch.setattr(backup, "run_backup_job", platform.run_backup_job)
    monkeypatch.setattr(backup, "select_backup", platform.select_backup)
    monkeypatch.setattr(restore, "wait_until_healthy", lambda *_: SimpleNamespace(summary="healthy"))
    # No pod runs without nodes.
    monkeypatch.setattr(RestoreOperations, "wait_for_postgres", lambda *_: None)
    return platform


def run(platform: Platform, target: str = "2026-05-01") -> dict[str, Any]:
    return restore_in_place(platform.target.environment, target, RecordingProgress())


def test_failed_backup_of_the_current_state_leaves_everything_running(platform: Platform) -> None:
    platform.failing, volumes = {"last"}, platform.volumes()
    with pytest.raises(NothingRestoredError):
        run(platform)
    assert platform.replicas() == RUNNING
    assert platform.volumes() == volumes
    assert platform.request() is None

    platform.failing = set()
    assert run(platform)["undo"] == "L1"
    assert platform.replicas() == RUNNING
    wait_until("new volumes", lambda: len(platform.volumes()) == 3, 60)
    assert not platform.volumes() & volumes
    assert platform.request() is None
    assert platform.backups == ["last", "full"]


def test_restore_that_was_killed_while_the_services_were_stopped_resumes(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.failing = {"last"}
    with monkeypatch.context() as patch:
        # As after SIGKILL: nobody starts the services again.
        patch.setattr(RestoreOperations, "start_services", lambda _: platform.run_backup_job(full=False))
        with pytest.raises(EsqError, match="not complete"):
            run(platform)
    assert platform.replicas() == STOPPED

    platform.failing = set()
    assert run(platform)["undo"] == "L1"
    assert platform.replicas() == RUNNING
    assert platform.request() is None


def test_failed_last_step_does_not_restore_again(platform: Platform) -> None:
    platform.failing = {"full"}
    with pytest.raises(EsqError, match="the full backup failed"):
        run(platform)
    wait_until("new volumes", lambda: len(platform.volumes()) == 3, 60)
    volumes = platform.volumes()
    platform.failing = set()
    assert run(platform)["undo"] == "L1"
    assert platform.volumes() == volumes
    assert platform.backups == ["last", "full"]
