"""A command that changes an environment compares it twice: with the copy here, and with the stored record."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cli.actions import deploy
from cli.actions.deployment_target import DeploymentTarget
from cli.environment import Environment, load_environment
from infra.credentials import complete_credentials
from infra.environment_record import EnvironmentRecord
from infra.errors import ProblemsError
from infra.progress import RecordingProgress
from tests.unit.cli.definitions import write_definition

if TYPE_CHECKING:
    from pathlib import Path

RECORD = EnvironmentRecord(
    environment="staging", backend="s3://state", cluster_uid="one", offsite_store=None, version="1"
)
MOVED = RECORD.model_copy(update={"cluster_uid": "two"})
CREDENTIALS = complete_credentials()


class Run:
    """A command on an environment whose cluster has the UID `one`; what it does is recorded."""

    def __init__(self, environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
        self.environment = environment
        self.events: list[str] = []
        self.stored: EnvironmentRecord | None = None
        self.lock: Any = SimpleNamespace(
            incomplete=False, hold_cluster=lambda _: self.events.append("hold the cluster")
        )
        monkeypatch.setattr(DeploymentTarget, "current_record", RECORD)
        monkeypatch.setattr(
            DeploymentTarget, "engine", lambda _: SimpleNamespace(environment=environment, workspace=self)
        )
        monkeypatch.setattr(DeploymentTarget, "_read_record", lambda _: self.stored)
        monkeypatch.setattr(deploy, "require_no_restore", lambda _: self.events.append("check for a restore"))

    def outputs(self, layer: str) -> dict[str, str]:
        """Return the outputs of the environment stack."""
        self.events.append(f"read {layer}")
        if self.stored is None:
            return {}
        return {"record": self.stored.model_dump_json(), "credentials": CREDENTIALS.model_dump_json()}

    def open(self) -> deploy.OpenedEnvironment:
        target = DeploymentTarget(self.environment, None, None, self.environment.folder)  # type: ignore[arg-type]
        return deploy.open_engine(target, self.lock, RecordingProgress())


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("ESQ_ENVIRONMENTS_DIR", str(tmp_path))
    write_definition(tmp_path, "staging")
    return Run(load_environment("staging"), monkeypatch)


def test_stored_values_are_read_once_and_handed_on(command: Run) -> None:
    command.environment.save_record(RECORD)
    command.stored = RECORD
    opened = command.open()
    assert command.events == ["hold the cluster", "read environment", "check for a restore"]
    assert opened.stored is not None
    assert (opened.stored.record, opened.stored.credentials) == (RECORD, CREDENTIALS)


def test_copy_that_differs_is_refused_before_the_cluster_is_touched(command: Run) -> None:
    command.environment.save_record(MOVED)
    with pytest.raises(ProblemsError):
        command.open()
    assert command.events == []


def test_record_that_another_machine_has_changed_is_refused_although_the_copy_is_equal(command: Run) -> None:
    command.environment.save_record(RECORD)
    command.stored = MOVED
    with pytest.raises(ProblemsError) as error:
        command.open()
    assert error.value.problems[0].message == "recorded: two, now: one"
    assert command.events == ["hold the cluster", "read environment"]


def test_environment_that_was_never_deployed_has_nothing_stored(command: Run) -> None:
    assert command.open().stored is None
