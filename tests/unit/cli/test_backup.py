"""`esq backup` and `esq recover`: required confirmations, and the order of operations of an in-place restore."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cli import main
from cli.actions import backup, deploy, restore, restore_operations
from cli.actions.restore import NothingRestoredError
from cli.actions.restore_operations import RestoreRequest
from cli.engine_results import EnvironmentLockedError
from cli.environment_lock import EnvironmentLock, hold_environment
from infra.components.backup.pod_programs.backup_selection import RestorePlan
from infra.components.component_health import PodUnreachableError
from infra.errors import EsqError, UsageError
from infra.progress import RecordingProgress

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Install = Callable[["FakeRestoreOperations"], "FakeRestoreOperations"]


@pytest.mark.parametrize(
    ("args", "remedy"),
    [
        (("backup", "restore", "local"), "--target"),
        (("backup", "restore", "local", "--target", "latest", "--in-place"), "--confirm local"),
        (
            ("backup", "restore", "local", "--target", "latest", "--in-place", "--confirm", "prod"),
            "--confirm local",
        ),
        (("backup", "restore", "local", "--target", "latest", "--in-place", "--json"), "--confirm local"),
        (("recover", "local"), "--yes"),
    ],
)
def test_unconfirmed_restore_is_a_usage_error(
    args: tuple[str, ...], remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(args) == 2
    assert remedy in capsys.readouterr().err


class FakeRestoreOperations:
    """Records the operations; some of them may fail. Backups are known only while the verifier runs."""

    def __init__(self, *fail: str) -> None:
        self.operations: list[str] = []
        self.target: Any = SimpleNamespace(environment=FakeEnvironment, kubeconfig=None)
        self.fail = set(fail)
        self.verifier_runs = True
        self._request: RestoreRequest | None = None

    def record(self, operation: str) -> None:
        if operation in self.fail:
            raise EsqError(f"{operation} failed", remedy="Correct it.")
        self.operations.append(operation)

    def request(self) -> RestoreRequest | None:
        return self._request

    def save_request(self, request: RestoreRequest) -> None:
        self.record(f"save {request.phase}")
        self._request = request

    def delete_request(self) -> None:
        self.record("delete request")
        self._request = None

    def set_recovery_target(self, target: str, arguments: tuple[str, ...]) -> None:
        self.record(f"set recovery target {target} {' '.join(arguments)}")

    def clear_recovery_target(self) -> None:
        self.record("clear recovery target")

    def stop_services(self) -> None:
        self.verifier_runs = False
        self.record("stop services")

    def start_services(self) -> None:
        self.record("start services")
        self.verifier_runs = True

    def scale_postgres(self, replicas: int) -> None:
        self.record(f"postgres {replicas}")

    def wait_for_deletion(self, _step: object, description: str, _remaining: Callable[[], list[str]]) -> None:
        self.record(f"{description} deleted")

    def delete_database_state(self, _step: object) -> None:
        self.record("delete database state")

    def wait_for_postgres(self, _step: object) -> None:
        self.record("postgres healthy")


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Install:
    """Replaces the cluster with a fake."""

    def install(fake: FakeRestoreOperations) -> FakeRestoreOperations:
        def run_backup_job(_target: object, _step: object, *, full: bool) -> dict[str, Any]:
            fake.record("full backup" if full else "last backup")
            return {"backups": [{"label": "L1"}]}

        def select_backup(*_: object) -> RestorePlan:
            if not fake.verifier_runs:
                raise PodUnreachableError("no pods")
            return RestorePlan(None, ("--type=time",))

        monkeypatch.setattr(EnvironmentLock, "hold_cluster", lambda *_: fake.record("hold cluster"))
        monkeypatch.setattr(FakeEnvironment, "folder", tmp_path, raising=False)
        health = type("Health", (), {"summary": "healthy"})()
        monkeypatch.setattr(restore, "RestoreOperations", lambda _: fake)
        monkeypatch.setattr(restore, "open_deployed_target", lambda *_, **__: fake.target)
        monkeypatch.setattr(backup, "run_backup_job", run_backup_job)
        monkeypatch.setattr(backup, "select_backup", select_backup)
        monkeypatch.setattr(restore, "wait_until_healthy", lambda *_: health)
        return fake

    return install


class FakeEnvironment:
    """The part of an environment that messages need."""

    name = "local"
    folder: Path


def restore_in_place(target: str = "2026-05-01") -> dict[str, Any]:
    return restore.restore_in_place(FakeEnvironment(), target, RecordingProgress())  # type: ignore[arg-type] # see there


COMPLETE = [
    "hold cluster",
    *("save back-up", "stop services", "pods deleted", "last backup", "save restore"),
    *("set recovery target 2026-05-01 --type=time", "stop services", "pods deleted"),
    *("postgres 0", "pods deleted", "delete database state"),
    *("postgres 3", "postgres healthy", "clear recovery target", "save start"),
    *("start services", "full backup", "delete request"),
]


def test_request_is_stored_before_anything_stops_and_deleted_when_everything_runs(install: Install) -> None:
    fake = install(FakeRestoreOperations())
    assert restore_in_place()["undo"] == "L1"
    assert fake.operations == COMPLETE


def test_failed_backup_of_the_current_state_starts_the_services_again(install: Install) -> None:
    fake = install(FakeRestoreOperations("last backup"))
    with pytest.raises(NothingRestoredError, match="nothing was restored: last backup failed") as error:
        restore_in_place()
    assert "started again. Correct it. Then repeat" in error.value.remedy
    assert fake.operations[-2:] == ["start services", "delete request"]
    assert "postgres 0" not in fake.operations
    fake.fail, fake.operations = set(), []
    restore_in_place()
    assert fake.operations == COMPLETE


@pytest.mark.parametrize("operation", ["pods deleted", "last backup", "save restore"])
def test_interruption_before_the_database_is_replaced_resumes_with_the_stored_request(
    install: Install, operation: str
) -> None:
    # As after SIGKILL: the services are not started again, so that the verifier does not run.
    fake = install(FakeRestoreOperations(operation, "start services"))
    with pytest.raises(EsqError, match="not complete") as error:
        restore_in_place()
    resume = "to resume: `esq backup restore local --target 2026-05-01 --in-place`"
    assert resume in error.value.remedy
    fake.fail, fake.operations = set(), []
    assert restore_in_place()["undo"] == "L1"
    assert fake.operations == COMPLETE


@pytest.mark.parametrize("operation", ["postgres 0", "delete database state", "postgres healthy"])
def test_interrupted_restore_resumes_without_another_backup(install: Install, operation: str) -> None:
    fake = install(FakeRestoreOperations(operation))
    with pytest.raises(EsqError, match=operation):
        restore_in_place()
    fake.fail, fake.operations = set(), []
    assert restore_in_place()["undo"] == "L1"
    replaced = COMPLETE.index("set recovery target 2026-05-01 --type=time")
    assert fake.operations == ["hold cluster", *COMPLETE[replaced:]]


@pytest.mark.parametrize("operation", ["start services", "full backup"])
def test_restored_database_is_not_restored_again(install: Install, operation: str) -> None:
    fake = install(FakeRestoreOperations(operation))
    with pytest.raises(EsqError, match=operation):
        restore_in_place()
    fake.fail, fake.operations = set(), []
    restore_in_place()
    assert fake.operations == ["hold cluster", "start services", "full backup", "delete request"]


def test_restore_excludes_other_runs(install: Install) -> None:
    fake = install(FakeRestoreOperations())
    environment: Any = FakeEnvironment()
    with hold_environment(environment, "deploy"), pytest.raises(EnvironmentLockedError):
        restore_in_place()
    assert fake.operations == []


def test_deploy_is_refused_while_a_restore_is_unfinished(monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = SimpleNamespace(outputs=lambda _: {})
    engine = SimpleNamespace(environment=FakeEnvironment(), workspace=workspace)
    target: Any = SimpleNamespace(
        environment=FakeEnvironment(),
        kubeconfig=None,
        current_record=None,
        require_unchanged=lambda **_: None,
        engine=lambda: engine,
    )
    lock: Any = SimpleNamespace(hold_cluster=lambda _: None, incomplete=False)
    request = RestoreRequest(target="2026-05-01 12:00", arguments=())
    monkeypatch.setattr(deploy, "require_unchanged", lambda *_, **__: None)
    monkeypatch.setattr(restore_operations, "api_client", lambda _: SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(restore_operations, "read_request", lambda _: request)
    with pytest.raises(EsqError, match="has to be completed first") as error:
        deploy.open_engine(target, lock, RecordingProgress())
    assert "esq backup restore local --target '2026-05-01 12:00' --in-place" in error.value.remedy
    opened = deploy.open_engine(target, lock, RecordingProgress(), during_restore=True)
    assert opened.engine is engine  # type: ignore[comparison-overlap] # a fake


def test_restore_to_another_target_is_rejected_while_one_is_in_progress(install: Install) -> None:
    fake = install(FakeRestoreOperations("postgres healthy"))
    with pytest.raises(EsqError):
        restore_in_place("yesterday")
    fake.operations = []
    with pytest.raises(UsageError, match="yesterday") as error:
        restore_in_place("today")
    assert "--target yesterday" in error.value.remedy
    assert fake.operations == ["hold cluster"]
