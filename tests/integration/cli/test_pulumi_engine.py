"""The Pulumi engine on a real file backend, with small programs that need no cluster."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import socket
import time
from functools import partial
from typing import TYPE_CHECKING

import pulumi
import pytest

from cli.actions import stack_state
from cli.engine_results import DeployFailedError, EnvironmentLockedError
from cli.environment import load_environment
from cli.environment_lock import EnvironmentLock
from cli.pulumi_engine import PulumiEngine
from infra.errors import EsqError
from infra.progress import RecordedStep, RecordingProgress

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PULUMI = shutil.which("pulumi")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(PULUMI is None, reason="pulumi is not built; run `esq toolchain build`"),
    # The SDK leaves pipes of its event server to the collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Component(pulumi.ComponentResource):
    """A resource that needs no provider."""

    def __init__(self, name: str) -> None:
        super().__init__("esq:test:Component", name)
        self.register_outputs({})


def two_components() -> None:
    Component("first")
    Component("second")
    pulumi.export("password", pulumi.Output.secret("test-password"))


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> PulumiEngine:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return open_engine(tmp_path)


def open_engine(state: Path) -> PulumiEngine:
    os.environ["XDG_STATE_HOME"] = str(state)
    return PulumiEngine(load_environment("local"), path=os.environ["PATH"], kubeconfig=state / "none")


@pytest.fixture
def step() -> RecordedStep:
    return RecordedStep("layer")


def test_up_is_idempotent_and_destroy_deletes(engine: PulumiEngine, step: RecordedStep) -> None:
    first = engine.up("data", two_components, step)
    assert sorted(change.resource for change in first.changes) == ["Component first", "Component second"]
    unchanged = engine.up("data", two_components, step)
    assert unchanged.changes == ()
    assert set(unchanged.counts) == {"same"}
    deleted = engine.destroy("data", step)
    assert {change.operation for change in deleted.changes} == {"delete"}
    assert engine.workspace.layers() == frozenset()


def test_backend_of_the_shell_is_ignored(
    engine: PulumiEngine, step: RecordedStep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setenv("PULUMI_BACKEND_URL", other.as_uri())
    engine.preview("data", two_components, step)
    engine.up("data", two_components, step)
    assert engine.workspace.layers() == {"data"}
    assert list(other.iterdir()) == []
    assert (engine.environment.folder / "backend/.pulumi/stacks/esq/local-data.json").is_file()


def test_environment_whose_name_begins_alike_has_other_layers(
    engine: PulumiEngine, step: RecordedStep
) -> None:
    engine.up("eu-data", two_components, step)
    assert engine.workspace.layers() == frozenset()


def test_import_of_a_state_creates_lost_stacks_and_keeps_credentials(
    engine: PulumiEngine, step: RecordedStep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack_state, "_open_engine", lambda *_: (engine, engine))
    monkeypatch.setattr(engine, "kubeconfig", tmp_path / "none", raising=False)
    monkeypatch.setattr(EnvironmentLock, "hold_cluster", lambda *_: None)
    for layer in ("data", "environment"):
        engine.up(layer, two_components, step)
    exported = stack_state.export_state(engine.environment, RecordingProgress())
    file = tmp_path / "export.json"
    file.write_text(json.dumps(exported))
    engine.destroy("data", step)
    engine.publish("environment", partial(pulumi.export, "password", "rotated"), step)
    assert stack_state.import_state(engine.environment, file, RecordingProgress()) == ["data"]
    assert engine.workspace.outputs("data") == {"password": "test-password"}
    assert engine.workspace.outputs("environment") == {"password": "rotated"}
    engine.destroy("environment", step)
    stack_state.import_state(engine.environment, file, RecordingProgress())
    assert engine.workspace.outputs("environment") == {"password": "test-password"}


def test_preview_changes_nothing(engine: PulumiEngine, step: RecordedStep) -> None:
    assert len(engine.preview("data", two_components, step).changes) == 2
    assert engine.workspace.layers() == frozenset()
    assert not (engine.environment.folder / "passphrase").exists()
    engine.up("data", two_components, step)
    assert engine.preview("data", two_components, step).changes == ()


def test_drift_of_a_layer_that_is_not_deployed_is_an_error(engine: PulumiEngine, step: RecordedStep) -> None:
    with pytest.raises(EsqError, match="layer data of `local` is not deployed") as error:
        engine.drift("data", step)
    assert "esq deploy local" in error.value.remedy
    engine.up("services", two_components, step)
    with pytest.raises(EsqError, match="layer data of `local` is not deployed"):
        engine.drift("data", step)


def test_layer_without_a_stack_has_nothing_to_destroy(engine: PulumiEngine, step: RecordedStep) -> None:
    assert engine.destroy("data", step).changes == ()
    engine.up("services", two_components, step)
    assert engine.destroy("data", step).changes == ()


def test_layers_have_separate_stacks(engine: PulumiEngine, step: RecordedStep) -> None:
    engine.up("data", two_components, step)
    assert len(engine.up("services", two_components, step).changes) == 2


def test_settings_are_the_configuration_of_the_stack(engine: PulumiEngine, step: RecordedStep) -> None:
    values = []
    engine.workspace.write_config("data", {"settings": '{"zones": ["a"]}'})
    engine.up("data", lambda: values.append(pulumi.Config().require("settings")), step)
    assert values == ['{"zones": ["a"]}']


def test_secrets_are_encrypted_in_the_state(engine: PulumiEngine, step: RecordedStep, tmp_path: Path) -> None:
    engine.up("data", two_components, step)
    content = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b"test-password" not in content


def test_passphrase_file_is_owner_only_and_stable(
    engine: PulumiEngine, step: RecordedStep, tmp_path: Path
) -> None:
    engine.up("data", two_components, step)
    file = engine.environment.folder / "passphrase"
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_text()
    open_engine(tmp_path).up("data", two_components, step)
    assert file.read_text() == before


def test_state_folder_may_have_spaces_and_accents(
    tmp_path: Path, step: RecordedStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    engine = open_engine(tmp_path / "état de  José")
    engine.up("data", two_components, step)
    assert engine.workspace.layers() == {"data"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["état de  José"]


def test_failed_program_raises_and_the_next_run_resumes(engine: PulumiEngine, step: RecordedStep) -> None:
    def failing() -> None:
        Component("first")
        raise ValueError("raised on purpose")

    with pytest.raises(DeployFailedError, match="layer data failed") as error:
        engine.up("data", failing, step)
    assert "raised on purpose" in error.value.detail
    assert "esq deploy local" in error.value.remedy
    engine.up("data", two_components, step)


def _hang(state: Path, ready: Path) -> None:
    os.setsid()

    def program() -> None:
        ready.touch()
        time.sleep(120)

    open_engine(state).up("data", program, RecordedStep("layer"))


@pytest.fixture
def hanging(tmp_path: Path) -> Callable[[], None]:
    """A run in a process of its own, in the middle of its program; the returned function kills it."""
    ready = tmp_path / "ready"
    process = multiprocessing.get_context("spawn").Process(target=_hang, args=(tmp_path, ready))
    process.start()
    deadline = time.monotonic() + 60
    while not ready.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)

    def kill() -> None:
        assert process.pid is not None
        os.killpg(process.pid, signal.SIGKILL)
        process.join()

    return kill


def test_concurrent_run_is_rejected_and_its_lock_is_removed_after_a_crash(
    engine: PulumiEngine, step: RecordedStep, hanging: Callable[[], None]
) -> None:
    try:
        with pytest.raises(EnvironmentLockedError, match="local-data is locked by another run") as error:
            engine.up("data", two_components, step)
        assert f"@{socket.gethostname()} (pid " in error.value.detail
    finally:
        hanging()
    assert len(engine.up("data", two_components, step).changes) == 2


def test_lock_of_another_machine_is_never_removed(engine: PulumiEngine, step: RecordedStep) -> None:
    engine.up("data", two_components, step)
    lock = engine.environment.folder / "backend/.pulumi/locks/organization/esq/local-data/other.json"
    owner = {"pid": 1 << 22, "username": "root", "hostname": "elsewhere", "timestamp": "2026-01-01T00:00:00Z"}
    lock.write_text(json.dumps(owner))
    with pytest.raises(EnvironmentLockedError) as error:
        engine.up("data", two_components, step)
    assert "root@elsewhere" in error.value.detail
    assert lock.exists()
    lock.write_text(json.dumps({**owner, "hostname": socket.gethostname()}))
    engine.up("data", two_components, step)
    assert not lock.exists()


def test_pending_operations_of_a_crash_are_cleared(engine: PulumiEngine, step: RecordedStep) -> None:
    engine.up("data", two_components, step)
    file = engine.environment.folder / "backend/.pulumi/stacks/esq/local-data.json"
    state = json.loads(file.read_text())
    resource = {
        **state["checkpoint"]["latest"]["resources"][-1],
        "urn": "urn:pulumi:local-data::esq::a:b:C::x",
    }
    state["checkpoint"]["latest"]["pending_operations"] = [{"resource": resource, "type": "creating"}]
    file.write_text(json.dumps(state))
    assert engine.recover("data") == "1 pending operations settled, 0 objects adopted"
    assert engine.recover("data") == ""
    assert engine.up("data", two_components, step).changes == ()


def test_status_shows_resources_in_progress(engine: PulumiEngine) -> None:
    steps = RecordingProgress()
    with steps.step("layer") as step:
        engine.up("data", two_components, step)
    assert any("Component first" in wait for wait in steps.steps[0].statuses)
