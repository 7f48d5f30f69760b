"""Exports of a state, and the options that select resources."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cli import output
from cli.actions import credentials
from cli.actions.stack_state import FORMAT, import_state
from cli.environment import load_environment
from cli.main import run
from infra.errors import UsageError
from infra.progress import RecordingProgress
from infra.stack_settings import Layer

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "no export of a state"),
        (json.dumps({"version": 3, "deployment": {}}), "no export of a state"),
        (json.dumps({"format": FORMAT, "environment": "prod", "layers": {}}), "the state of `prod`"),
    ],
)
def test_files_that_are_no_export_of_the_environment_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, message: str
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    file = tmp_path / "state.json"
    file.write_text(content)
    with pytest.raises(UsageError, match=message):
        import_state(load_environment("local"), file, RecordingProgress())


def test_changes_of_the_state_need_confirmation(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["state", "import", "local", "state.json"]) == 2
    assert "--yes" in capsys.readouterr().err


def test_targets_need_one_layer() -> None:
    assert output.parse_targets(["a", "b"], [Layer.DATA]) == ("a", "b")
    assert output.parse_targets(None, list(Layer)) == ()
    with pytest.raises(UsageError, match="resources of one layer"):
        output.parse_targets(["a"], list(Layer))


def test_import_of_credentials_names_the_next_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(credentials, "import_credentials", lambda *_: True)
    assert run(["credentials", "import", "local", "export.json", "--yes"]) == 0
    assert "If the cluster is lost: esq recover local; otherwise: esq deploy local" in capsys.readouterr().out
