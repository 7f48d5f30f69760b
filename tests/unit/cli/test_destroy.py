"""What a destroy leaves: the credentials, unless everything that needs them is deleted."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from cli.actions import destroy as action
from cli.engine_results import StackResult
from cli.environment import load_environment
from infra.environment_definition import LOCAL_DEFINITION
from infra.progress import RecordingProgress
from infra.stack_settings import Layer

if TYPE_CHECKING:
    from pathlib import Path

    from cli.environment import Environment


@dataclass
class FakeEngine:
    """Deletes nothing; remembers the order."""

    deleted: list[str] = field(default_factory=list)

    def destroy(self, layer: str, _step: object) -> StackResult:
        self.deleted.append(str(layer))
        return StackResult(layer, (), {})


@dataclass
class FakeStore:
    """The store of the engine's environment."""

    engine: FakeEngine

    def remove(self, step: object) -> None:
        self.engine.destroy("environment", step)


@dataclass
class FakeTarget:
    """A target of an existing cluster, with all tools."""

    environment: Environment
    cluster: None = None

    @property
    def tools(self) -> FakeTarget:
        return self

    def ensure(self, *_: object) -> None:
        """Build nothing."""


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Environment:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    definition = LOCAL_DEFINITION.model_copy(update={"backend": "s3://stacks"})
    return replace(load_environment("local"), definition=definition)


@pytest.mark.parametrize(
    ("layers", "options", "deleted"),
    [
        (list(Layer), {"purge": True}, ["services", "data", "cluster", "environment"]),
        (list(Layer), {"purge": True, "keep_backups": True}, ["services", "data", "cluster"]),
        (list(Layer), {"purge": False}, ["services", "data", "cluster"]),
        ([Layer.DATA], {"purge": False}, ["data"]),
    ],
    ids=["everything", "--keep-backups", "--keep-cluster", "--layer data"],
)
def test_credentials_are_deleted_last_and_with_everything_only(
    monkeypatch: pytest.MonkeyPatch,
    environment: Environment,
    layers: list[Layer],
    options: dict[str, Any],
    deleted: list[str],
) -> None:
    engine = FakeEngine()
    monkeypatch.setattr(action, "open_target", lambda *_: FakeTarget(environment))
    monkeypatch.setattr(action, "open_engine", lambda *_, **__: engine)
    monkeypatch.setattr(action, "EnvironmentStore", FakeStore)
    action.destroy(environment, layers, RecordingProgress(), **options)
    assert engine.deleted == deleted
    assert environment.folder.exists() == (not options["purge"] or options.get("keep_backups", False))
