"""The engine on a real file backend, with small programs that need no cluster."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import time
from typing import TYPE_CHECKING

import pulumi
import pytest

from cli.engine import BusyError, DeployFailedError, Engine
from cli.environment import find
from infra.progress import RecordedStep, RecordingProgress

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PULUMI = shutil.which("pulumi")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(PULUMI is None, reason="the pulumi program is not on PATH; `esq test` puts it there"),
    # The SDK leaves pipes of its event server to the collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Thing(pulumi.ComponentResource):
    """A resource that needs no provider."""

    def __init__(self, name: str) -> None:
        super().__init__("esq:test:Thing", name)
        self.register_outputs({})


def two_things() -> None:
    Thing("first")
    Thing("second")
    pulumi.export("password", pulumi.Output.secret("of-a-test"))


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Engine:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return new_engine(tmp_path)


def new_engine(state: Path) -> Engine:
    os.environ["XDG_STATE_HOME"] = str(state)
    return Engine(find("local"), path=os.environ["PATH"], kubeconfig=state / "none")


@pytest.fixture
def step() -> RecordedStep:
    return RecordedStep("layer")


def test_up_then_unchanged_then_gone(engine: Engine, step: RecordedStep) -> None:
    first = engine.up("data", two_things, step)
    assert sorted(change.resource for change in first.changes) == ["Thing first", "Thing second"]
    again = engine.up("data", two_things, step)
    assert again.changes == ()
    assert set(again.counts) == {"same"}
    gone = engine.destroy("data", step)
    assert {change.operation for change in gone.changes} == {"delete"}
    assert engine.configuration("data") == {}


def test_preview_changes_nothing(engine: Engine, step: RecordedStep) -> None:
    assert len(engine.preview("data", two_things, step).changes) == 2
    assert len(engine.preview("data", two_things, step).changes) == 2


def test_a_layer_that_was_never_deployed_has_no_drift_and_nothing_to_destroy(
    engine: Engine, step: RecordedStep
) -> None:
    assert engine.drift("data", step).changes == ()
    assert engine.destroy("data", step).changes == ()


def test_layers_have_stacks_of_their_own(engine: Engine, step: RecordedStep) -> None:
    engine.up("data", two_things, step)
    assert len(engine.up("services", two_things, step).changes) == 2


def test_configuration_is_kept_and_its_secret_part_is_encrypted(engine: Engine, tmp_path: Path) -> None:
    engine.configure("data", {"settings": "plain-value"}, {"credentials": "secret-value"})
    assert new_engine(tmp_path).configuration("data") == {
        "settings": "plain-value",
        "credentials": "secret-value",
    }
    everything = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b"plain-value" in everything
    assert b"secret-value" not in everything


def test_secrets_are_encrypted_in_the_state(engine: Engine, step: RecordedStep, tmp_path: Path) -> None:
    engine.up("data", two_things, step)
    everything = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b"of-a-test" not in everything


def test_the_passphrase_is_for_its_owner_only_and_stays(engine: Engine, tmp_path: Path) -> None:
    file = engine.environment.folder / "passphrase"
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_text()
    new_engine(tmp_path)
    assert file.read_text() == before


def test_a_program_that_fails_is_told_and_the_next_run_goes_on(engine: Engine, step: RecordedStep) -> None:
    def wrong() -> None:
        Thing("first")
        raise ValueError("of my own")

    with pytest.raises(DeployFailedError, match="data could not be finished") as error:
        engine.up("data", wrong, step)
    assert "of my own" in error.value.detail
    assert "esq deploy local" in error.value.remedy
    assert engine.up("data", two_things, step).recovered == ""


def _hang(state: Path, ready: Path) -> None:
    os.setsid()

    def program() -> None:
        ready.touch()
        time.sleep(120)

    new_engine(state).up("data", program, RecordedStep("layer"))


@pytest.fixture
def hanging(tmp_path: Path) -> Callable[[], None]:
    """A run in a process of its own, in the middle of its program; called, it dies with all it started."""
    ready = tmp_path / "ready"
    process = multiprocessing.get_context("spawn").Process(target=_hang, args=(tmp_path, ready))
    process.start()
    deadline = time.monotonic() + 60
    while not ready.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)

    def die() -> None:
        assert process.pid is not None
        os.killpg(process.pid, signal.SIGKILL)
        process.join()

    return die


def test_another_run_is_kept_away_and_after_its_crash_the_next_goes_on(
    engine: Engine, step: RecordedStep, hanging: Callable[[], None]
) -> None:
    try:
        with pytest.raises(BusyError, match="another run is at work on `local`: up, process"):
            engine.up("data", two_things, step)
    finally:
        hanging()
    outcome = engine.up("data", two_things, step)
    assert outcome.recovered.startswith("a run before was cut off")
    assert len(outcome.changes) == 2


def test_operations_half_done_by_a_crash_are_cleared(engine: Engine, step: RecordedStep) -> None:
    engine.up("data", two_things, step)
    file = engine.environment.folder / "backend/.pulumi/stacks/esq/local-data.json"
    state = json.loads(file.read_text())
    resource = {
        **state["checkpoint"]["latest"]["resources"][-1],
        "urn": "urn:pulumi:local-data::esq::a:b:C::x",
    }
    state["checkpoint"]["latest"]["pending_operations"] = [{"resource": resource, "type": "creating"}]
    file.write_text(json.dumps(state))
    (engine.environment.folder / "stacks/data.running").touch()
    assert "1 operations half done" in engine.up("data", two_things, step).recovered
    assert engine.up("data", two_things, step).recovered == ""


def test_steps_are_told_what_is_under_way(engine: Engine) -> None:
    steps = RecordingProgress()
    with steps.step("layer") as step:
        engine.up("data", two_things, step)
    assert any("Thing first" in wait for wait in steps.steps[0].statuses)
