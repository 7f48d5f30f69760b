"""`esq backup` and `esq recover`: required confirmations, and the order of operations of an in-place restore."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cli import main
from cli.actions import backup, restore
from infra.components.backup.pod_programs.backup_selection import RestorePlan
from infra.errors import EsqError, UsageError
from infra.progress import RecordingProgress

if TYPE_CHECKING:
    from collections.abc import Callable

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
    """Records the operations; one of them may fail."""

    def __init__(self, recovery_target: dict[str, str] | None = None, fail: str = "") -> None:
        self.operations: list[str] = []
        self.target: Any = type("Target", (), {"environment": None})()
        self.fail = fail
        self._recovery_target = recovery_target

    def record(self, operation: str) -> None:
        if operation == self.fail:
            raise EsqError(f"{operation} failed")
        self.operations.append(operation)

    def recovery_target(self) -> dict[str, str] | None:
        return self._recovery_target

    def set_recovery_target(self, target: str, arguments: tuple[str, ...]) -> None:
        self.record(f"set recovery target {target}")
        self._recovery_target = {"target": target, "arguments": "\n".join(arguments)}

    def clear_recovery_target(self) -> None:
        self.record("clear recovery target")
        self._recovery_target = None

    def stop_services(self) -> None:
        self.record("services 0")

    def start_services(self) -> None:
        self.record("services 2")

    def scale_postgres(self, replicas: int) -> None:
        self.record(f"postgres {replicas}")

    def wait_for_deletion(self, _step: object, description: str, _remaining: Callable[[], list[str]]) -> None:
        self.record(f"{description} deleted")

    def delete_database_state(self, _step: object) -> None:
        self.record("delete database state")

    def wait_for_postgres(self, _step: object) -> None:
        self.record("postgres healthy")


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Replaces the cluster with a fake."""

    def install(fake: FakeRestoreOperations) -> FakeRestoreOperations:
        def run_backup_job(_target: object, _step: object, *, full: bool) -> dict[str, Any]:
            fake.record("full backup" if full else "last backup")
            return {"backups": [{"label": "L1"}]}

        plan = RestorePlan(None, ("--type=time",))
        health = type("Health", (), {"summary": "healthy"})()
        monkeypatch.setattr(restore, "RestoreOperations", lambda _: fake)
        monkeypatch.setattr(restore, "open_deployed_target", lambda *_: fake.target)
        monkeypatch.setattr(backup, "run_backup_job", run_backup_job)
        monkeypatch.setattr(backup, "select_backup", lambda *_: plan)
        monkeypatch.setattr(restore, "wait_until_healthy", lambda *_: health)
        return fake

    return install


class FakeEnvironment:
    """The part of an environment that messages need."""

    name = "local"


def restore_in_place(target: str = "2026-05-01") -> dict[str, Any]:
    return restore.restore_in_place(FakeEnvironment(), target, RecordingProgress())  # type: ignore[arg-type] # see there


def test_current_state_is_backed_up_before_the_database_is_deleted(install: Install) -> None:
    fake = install(FakeRestoreOperations())
    assert restore_in_place()["undo"] == "L1"
    order = ["services 0", "last backup", "set recovery target 2026-05-01", "postgres 0"]
    order += ["delete database state", "postgres 3", "postgres healthy", "clear recovery target"]
    order += ["services 2", "full backup"]
    assert [operation for operation in fake.operations if operation in order] == order


def test_failed_backup_of_the_current_state_stops_the_restore(install: Install) -> None:
    fake = install(FakeRestoreOperations(fail="last backup"))
    with pytest.raises(EsqError, match="last backup"):
        restore_in_place()
    assert "delete database state" not in fake.operations
    assert "postgres 0" not in fake.operations


def test_interrupted_restore_resumes_without_another_backup(install: Install) -> None:
    fake = install(FakeRestoreOperations(fail="postgres healthy"))
    with pytest.raises(EsqError, match="postgres healthy"):
        restore_in_place()
    fake.fail, fake.operations = "", []
    restore_in_place()
    assert "last backup" not in fake.operations
    assert fake.operations[0] == "postgres 0"
    assert fake.operations[-1] == "full backup"


def test_restore_to_another_target_is_rejected_while_one_is_in_progress(install: Install) -> None:
    fake = install(FakeRestoreOperations({"target": "yesterday"}))
    with pytest.raises(UsageError, match="yesterday"):
        restore_in_place("today")
    assert fake.operations == []
