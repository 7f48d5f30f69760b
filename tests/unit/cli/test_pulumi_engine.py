"""Recovery from a run that was killed; the commands of the stack fail as the engine's do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Never

import pytest
from pulumi import automation as auto
from pulumi.automation.errors import CommandError, StackNotFoundError

from cli.environment import load_environment
from cli.pulumi_engine import DeployFailedError, PulumiEngine
from infra.progress import RecordedStep

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PulumiEngine:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    # The engine changes both for its own process.
    monkeypatch.setenv("PATH", os.environ["PATH"])
    monkeypatch.setenv("PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK", "true")
    return PulumiEngine(
        load_environment("local"), path=os.environ["PATH"], kubeconfig=Path("/the/kubeconfig")
    )


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that ran; the stack does not exist, and no engine is needed."""
    commands: list[str] = []

    def missing(command: str) -> Callable[..., Never]:
        def run(*_: object, **__: object) -> Never:
            commands.append(command)
            raise StackNotFoundError(auto.CommandResult("", "no stack named", 255))

        return run

    monkeypatch.setattr(auto, "LocalWorkspace", lambda **_: None)
    for command in ("cancel", "refresh"):
        monkeypatch.setattr(auto.Stack, command, missing(command))
    return commands


def test_run_that_was_killed_before_its_stack_existed_leaves_nothing_to_clear(
    engine: PulumiEngine, stack: list[str]
) -> None:
    marker = engine.environment.folder / "stacks" / "data.running"
    marker.touch()
    result = engine.drift("data", RecordedStep("data"))
    assert (result.changes, result.recovered) == ((), "")
    assert stack == ["cancel", "refresh"]
    assert not marker.exists()


@pytest.mark.usefixtures("stack")
def test_failed_recovery_is_reported_as_a_failed_run(
    engine: PulumiEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancel(*_: object) -> Never:
        raise CommandError(auto.CommandResult("", "the backend does not respond", 255))

    monkeypatch.setattr(auto.Stack, "cancel", cancel)
    (engine.environment.folder / "stacks" / "data.running").touch()
    with pytest.raises(DeployFailedError) as error:
        engine.drift("data", RecordedStep("data"))
    assert "the backend does not respond" in error.value.detail
