"""The rotation of an experiment ends with the tool, however this ends, and one that fails says why."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from chaoslib.exceptions import ActivityFailed

from chaos import context
from chaos.activities.credentials import rotate_credentials
from infra.process_identity import read_stat
from infra.progress import RecordedStep
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).parents[3]
TIMEOUT_SECONDS = 30
_ROTATION = """
import os, pathlib, sys, time
pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))
time.sleep(600)
"""
_TOOL = """
import sys
from types import SimpleNamespace
from chaos import context
from chaos.activities.credentials import rotate_credentials
from infra.progress import RecordedStep
target = SimpleNamespace(rotation_command=tuple(sys.argv[1:]), read_token_key=lambda: "key")
context.activate(context.Context(target, "credentials-rotated", RecordedStep("run")))
rotate_credentials()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_rotation_ends_with_the_experiment(tmp_path: Path, number: signal.Signals) -> None:
    file = tmp_path / "pid"
    rotation = (sys.executable, "-c", _ROTATION, str(file))
    with subprocess.Popen(
        [sys.executable, "-c", _TOOL, *rotation], cwd=PROJECT, stderr=subprocess.DEVNULL
    ) as tool:
        try:
            wait_until("the rotation runs", lambda: file.exists() and bool(file.read_text()), TIMEOUT_SECONDS)
            pid = int(file.read_text())
            assert read_stat(pid) is not None
        finally:
            tool.send_signal(number)
        wait_until("the rotation has ended", lambda: read_stat(pid) is None, TIMEOUT_SECONDS)


@pytest.fixture
def _failing_rotation() -> Iterator[None]:
    command = ("sh", "-c", "echo 'phase use: no answer' >&2; exit 1")
    target = SimpleNamespace(rotation_command=command, read_token_key=lambda: "key")
    context.activate(context.Context(target, "credentials-rotated", RecordedStep("run")))  # type: ignore[arg-type]
    yield
    context.activate(None)


@pytest.mark.usefixtures("_failing_rotation")
def test_rotation_that_fails_fails_the_action_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos.activities.credentials.KEY_POLL_INTERVAL_SECONDS", 0.05)
    with pytest.raises(ActivityFailed, match="phase use: no answer"):
        rotate_credentials()
