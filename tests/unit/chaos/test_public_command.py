"""The public `chaos` command runs a document with the control, and its exit code tells the truth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from chaos import control, observation, session, watchdog
from tests.unit.chaos import fake_target
from tests.unit.chaos.fake_target import FakeTarget

# The command uses names that its libraries have deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
MODULE = fake_target.__name__
HEALTHY = {
    "title": "t",
    "description": "d",
    "controls": [{"name": "esq", "provider": {"type": "python", "module": MODULE}}],
    "extensions": [
        {
            "name": "esq",
            "runbook": "zone-down",
            "traffic": ["edge"],
            "abort_after_silence_seconds": {"edge": 30},
        }
    ],
}


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTarget]:
    monkeypatch.setattr(observation, "BASELINE_SECONDS", 0.0)
    monkeypatch.setattr(session, "COOLDOWN_SECONDS", 0.0)
    monkeypatch.setattr(control, "OWN_ACTIVITIES", ("tests.unit.chaos.",))
    monkeypatch.setattr(watchdog, "start", lambda *_, **__: nullcontext())
    monkeypatch.chdir(tmp_path)
    fake_target.targets.append(FakeTarget(tmp_path))
    yield fake_target.target()
    fake_target.targets.clear()


def action(func: str, **arguments: str) -> dict[str, Any]:
    provider = {"type": "python", "module": MODULE, "func": func, "arguments": arguments}
    return {"type": "action", "name": func, "provider": provider}


def run(folder: Path, *options: str, method: list[dict[str, Any]]) -> tuple[int, str]:
    """Run a document with `chaos run`; return the exit code and the status in its journal."""
    from chaostoolkit.cli import cli  # noqa: PLC0415 - warnings of the import are ignored in tests only

    (folder / "document.json").write_text(json.dumps(HEALTHY | {"method": method}))
    settings = ("--settings", str(folder / "none.yaml"))
    result = CliRunner().invoke(cli, ["--no-version-check", *settings, "run", *options, "document.json"])
    return result.exit_code, json.loads((folder / "journal.json").read_text())["status"]


def test_valid_run_exits_with_0_and_writes_the_journal(target: FakeTarget) -> None:
    assert run(target.folder, method=[action("inject", name="a")]) == (0, "completed")
    assert (target.injected(), target.open_faults(), target.runs[0].valid) == (["a"], [], True)


def test_failed_action_exits_with_1(target: FakeTarget) -> None:
    assert run(target.folder, method=[action("inject", name="a"), action("fail")]) == (1, "failed")


def test_aborted_run_exits_with_1(target: FakeTarget) -> None:
    method = [action("inject", name="a"), action("kill_traffic"), action("inject", name="b")]
    assert run(target.folder, method=method) == (1, "aborted")
    assert (target.injected(), target.open_faults()) == (["a"], [])


def test_dry_run_injects_nothing(target: FakeTarget) -> None:
    assert run(target.folder, "--dry", "actions", method=[action("inject", name="a")]) == (0, "completed")
    assert (target.injected(), target.runs) == ([], [])
