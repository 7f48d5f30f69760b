"""The public `chaos` command with the control and its watchdog, ended by signals: no fault stays open."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.subprocesses import PYTHON_MODULE
from tests.servers.process import wait_until
from tests.unit.chaos import fake_target

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

TIMEOUT_SECONDS = 60.0
PYTHON = {"type": "python", "module": fake_target.__name__}
DOCUMENT = {
    "title": "t",
    "description": "d",
    "controls": [{"name": "esq", "provider": PYTHON}],
    "extensions": [
        {
            "name": "esq",
            "runbook": "zone-down",
            "traffic": ["edge"],
            "abort_after_silence_seconds": {"edge": 30},
        }
    ],
    "method": [
        {
            "type": "action",
            "name": name,
            "provider": PYTHON | {"func": "inject", "arguments": {"name": name}},
            "pauses": {"after": 120},
        }
        for name in ("a", "b")
    ],
}
Start = Callable[[], subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts the command on the target in `tmp_path`."""
    (tmp_path / "document.json").write_text(json.dumps(DOCUMENT))
    arguments = ("--no-version-check", "--settings", "none.yaml", "run", "document.json")
    processes: list[subprocess.Popen[str]] = []

    def run() -> subprocess.Popen[str]:
        processes.append(
            subprocess.Popen(
                [*PYTHON_MODULE, "chaostoolkit", *arguments],
                cwd=tmp_path,
                env=os.environ | {fake_target.FOLDER_VARIABLE: str(tmp_path)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def wait_for_injection(process: subprocess.Popen[str], folder: Path) -> None:
    def is_injected() -> bool:
        assert process.poll() is None, process.communicate()[0]
        return (folder / "faults" / "a").exists()

    wait_until("the fault is injected", is_injected, TIMEOUT_SECONDS)


def is_clean(folder: Path) -> bool:
    return not list((folder / "faults").glob("*")) and not list((folder / "open").glob("*.json"))


def test_killed_command_is_undone_by_its_watchdog(start: Start, tmp_path: Path) -> None:
    process = start()
    wait_for_injection(process, tmp_path)
    process.kill()
    wait_until("the fault is undone", lambda: is_clean(tmp_path), TIMEOUT_SECONDS)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_interrupted_command_undoes_its_faults_before_it_exits(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    process = start()
    wait_for_injection(process, tmp_path)
    process.send_signal(number)
    output, _ = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 1, output
    assert is_clean(tmp_path)
    assert (tmp_path / "log").read_text().split() == ["a"]


def test_second_command_at_the_same_time_is_refused(start: Start, tmp_path: Path) -> None:
    first = start()
    wait_for_injection(first, tmp_path)
    second = start()
    output, _ = second.communicate(timeout=TIMEOUT_SECONDS)
    assert second.returncode == 1
    assert "another experiment runs on" in output
    assert (tmp_path / "faults" / "a").exists()
