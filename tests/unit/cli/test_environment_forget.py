"""`esq env forget`: only an environment whose cluster is lost, and only after its name was given."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cli.actions import environment_forget as action
from cli.actions.deployment_target import DeploymentTarget
from cli.environment import Environment, load_environment
from infra.environment_record import EnvironmentRecord
from infra.errors import EsqError, UnreachableError, UsageError
from infra.progress import RecordingProgress
from tests.unit.cli.definitions import write_definition

if TYPE_CHECKING:
    from pathlib import Path

RECORD = EnvironmentRecord(
    environment="staging", backend="s3://state", cluster_uid="one", offsite_store=None, version="1"
)


class Backend:
    """Stacks of two layers; removed ones are recorded."""

    def __init__(self) -> None:
        self.removed: list[str] = []

    def layers(self) -> frozenset[str]:
        return frozenset({"data", "environment"})

    def stack(self, layer: str) -> SimpleNamespace:
        return SimpleNamespace(name=layer, workspace=self)

    def remove_stack(self, name: str, *, force: bool) -> None:
        assert force
        self.removed.append(name)


class LostEnvironment:
    """An environment, whose cluster is lost unless it has a UID."""

    def __init__(self, environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
        self.environment, self.backend = environment, Backend()
        self.uid: str | None = None
        tools: Any = SimpleNamespace(ensure=lambda *_: None)
        target = DeploymentTarget(environment, tools, None, environment.folder / "kubeconfig")
        monkeypatch.setattr(action, "open_target", lambda *_: target)
        monkeypatch.setattr(DeploymentTarget, "current_record", property(lambda _: self.read_record()))
        monkeypatch.setattr(DeploymentTarget, "engine", lambda _: SimpleNamespace(workspace=self.backend))
        environment.save_record(RECORD)

    def read_record(self) -> EnvironmentRecord:
        if self.uid is None:
            raise UnreachableError("the API server does not answer")
        return RECORD.model_copy(update={"cluster_uid": self.uid})

    def forget(self, confirmed_name: str | None = "staging") -> list[str]:
        return action.forget(self.environment, confirmed_name, RecordingProgress())


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LostEnvironment:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("ESQ_ENVIRONMENTS_DIR", str(tmp_path))
    write_definition(tmp_path, "staging")
    return LostEnvironment(load_environment("staging"), monkeypatch)


@pytest.mark.parametrize("uid", [None, "another"], ids=["no answer", "another cluster answers"])
def test_stacks_and_folder_of_a_lost_cluster_are_deleted(lost: LostEnvironment, uid: str | None) -> None:
    lost.uid = uid
    assert lost.forget() == lost.backend.removed == ["data", "environment"]
    assert not lost.environment.folder.exists()


@pytest.mark.parametrize(
    ("uid", "name", "message"),
    [("one", "staging", "is not lost"), (None, None, "confirmation"), (None, "prod", "confirmation")],
)
def test_nothing_is_deleted_otherwise(
    lost: LostEnvironment, uid: str | None, name: str | None, message: str
) -> None:
    lost.uid = uid
    with pytest.raises(UsageError, match=message):
        lost.forget(name)
    assert lost.backend.removed == []
    assert lost.environment.folder.is_dir()


def test_environment_without_a_record_is_not_lost_while_a_cluster_answers(lost: LostEnvironment) -> None:
    lost.environment.record_file.unlink()
    lost.uid = "one"
    with pytest.raises(EsqError, match="is not lost"):
        lost.forget()
