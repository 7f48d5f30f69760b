"""What a destroy leaves: the credentials, unless everything that needs them is deleted."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from cli.actions import destroy as action
from cli.actions.deploy import OpenedEnvironment
from cli.commands import destroy as command
from cli.engine_results import StackResult
from cli.environment import load_environment
from cli.environment_check import require_unchanged
from cli.environment_store import StoredEnvironment
from infra.credentials import complete_credentials
from infra.environment_definition import LOCAL_DEFINITION, OffsiteStore
from infra.environment_record import EnvironmentRecord
from infra.errors import EsqError, ProblemsError, UsageError
from infra.progress import RecordingProgress
from infra.stack_settings import Layer

if TYPE_CHECKING:
    from pathlib import Path

    from cli.environment import Environment

RECORD = EnvironmentRecord(
    environment="local", backend="s3://stacks", cluster_uid="one", offsite_store=None, version="1"
)


@dataclass
class FakeEngine:
    """Deletes nothing; remembers the order."""

    environment: Environment
    deleted: list[str] = field(default_factory=list)
    layers_left: frozenset[str] = frozenset()
    saved: StoredEnvironment | None = None

    @property
    def workspace(self) -> FakeEngine:
        return self

    def layers(self) -> frozenset[str]:
        return self.layers_left if self.deleted else frozenset({"data"})

    def destroy(self, layer: str, _step: object) -> StackResult:
        self.deleted.append(str(layer))
        return StackResult(layer, (), {})


@dataclass
class FakeStore:
    """The store of the engine's environment."""

    engine: FakeEngine

    def read(self) -> StoredEnvironment:
        return StoredEnvironment(record=RECORD, credentials=complete_credentials())

    def save(self, stored: StoredEnvironment, **_: object) -> None:
        self.engine.saved = stored

    def remove(self, step: object) -> None:
        self.engine.destroy("environment", step)


@dataclass
class FakeTarget:
    """A target of an existing cluster, with all tools."""

    environment: Environment
    cluster: None = None
    kubeconfig: None = None

    @property
    def tools(self) -> FakeTarget:
        return self

    def ensure(self, *_: object) -> None:
        """Build nothing."""

    @property
    def current_record(self) -> EnvironmentRecord:
        return RECORD


def use_engine(monkeypatch: pytest.MonkeyPatch, engine: FakeEngine) -> FakeEngine:
    monkeypatch.setattr(action, "open_target", lambda *_: FakeTarget(engine.environment))
    monkeypatch.setattr(action, "open_engine", lambda *_, **__: OpenedEnvironment(engine, None))  # type: ignore[arg-type] # a fake
    monkeypatch.setattr(action, "EnvironmentStore", FakeStore)
    return engine


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Environment:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    definition = LOCAL_DEFINITION.model_copy(update={"backend": "s3://stacks"})
    return replace(load_environment("local"), definition=definition)


@pytest.mark.parametrize(
    ("layers", "options", "deleted"),
    [
        (list(Layer), {"purge": True}, ["observability", "services", "data", "cluster", "environment"]),
        (
            list(Layer),
            {"purge": True, "keep_backups": True},
            ["observability", "services", "data", "cluster"],
        ),
        (list(Layer), {"purge": False}, ["observability", "services", "data", "cluster"]),
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
    engine = use_engine(monkeypatch, FakeEngine(environment))
    action.destroy(environment, layers, RecordingProgress(), **options)
    assert engine.deleted == deleted
    assert environment.folder.exists() == (not options["purge"] or options.get("keep_backups", False))


def test_folder_with_the_passphrase_stays_while_stacks_are_left(
    monkeypatch: pytest.MonkeyPatch, environment: Environment
) -> None:
    use_engine(monkeypatch, FakeEngine(environment, layers_left=frozenset({"services"})))
    with pytest.raises(EsqError, match="still has stacks: services"):
        action.destroy(environment, list(Layer), RecordingProgress(), purge=True)
    assert environment.folder.is_dir()


def test_environment_that_the_backend_does_not_know_is_not_destroyed(
    monkeypatch: pytest.MonkeyPatch, environment: Environment
) -> None:
    engine = use_engine(monkeypatch, FakeEngine(environment))
    monkeypatch.setattr(engine, "layers", frozenset)
    monkeypatch.setattr(action, "deployed_environment", lambda _: "local")
    with pytest.raises(UsageError, match="which the backend does not know"):
        action.destroy(environment, list(Layer), RecordingProgress(), purge=True)
    assert engine.deleted == []
    assert environment.folder.is_dir()


def test_kept_backups_leave_a_record_without_a_cluster(
    monkeypatch: pytest.MonkeyPatch, environment: Environment
) -> None:
    engine = use_engine(monkeypatch, FakeEngine(environment))
    action.destroy(environment, list(Layer), RecordingProgress(), purge=True, keep_backups=True)
    expected = RECORD.model_copy(update={"cluster_uid": ""})
    assert engine.saved is not None
    assert engine.saved.record == environment.load_record() == expected


@pytest.mark.parametrize(
    ("layers", "options", "leaves"),
    [
        ([Layer.DATA], {"purge": False}, True),
        (list(Layer), {"purge": False}, True),
        (list(Layer), {"purge": True}, False),
        ([Layer.SERVICES], {"purge": False}, False),
    ],
    ids=["--layer data", "--keep-cluster", "everything", "--layer services"],
)
def test_deleted_database_whose_backups_stay_is_not_deployed_empty(  # noqa: PLR0913 - fixtures
    monkeypatch: pytest.MonkeyPatch,
    environment: Environment,
    tmp_path: Path,
    layers: list[Layer],
    options: dict[str, bool],
    *,
    leaves: bool,
) -> None:
    certificate = tmp_path / "ca.crt"
    certificate.touch()
    store = OffsiteStore(
        url="https://s3.example.org", region="eu", bucket="backups", ca_certificate=certificate
    )
    definition = environment.definition.model_copy(update={"offsite_store": store})
    engine = use_engine(monkeypatch, FakeEngine(replace(environment, definition=definition)))
    action.destroy(engine.environment, layers, RecordingProgress(), **options)
    assert (engine.saved is not None) == leaves
    if leaves:
        with pytest.raises(ProblemsError) as error:
            require_unchanged(engine.environment, RECORD, lambda: engine.saved.record)  # type: ignore[union-attr]
        assert "esq recover local" in error.value.detail


def test_summary_does_not_claim_a_deletion() -> None:
    text = command._summary("staging", purge=True, deleted=False)
    assert text == "The stacks of `staging` had no resources: nothing was deleted in a cluster."


def test_kept_backups_are_followed_by_the_commands_that_go_on() -> None:
    assert "`esq recover staging`" in command._next_commands("staging", has_cluster=True)
    assert "`esq env rebind staging --confirm staging`" in command._next_commands("staging", has_cluster=True)
    assert "rebind" not in command._next_commands("local", has_cluster=False)
