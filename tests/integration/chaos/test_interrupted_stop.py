"""An undo while a supervisor completes a stop whose command was killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chaos.faults import zones
from infra import guarded_commands
from infra.subprocesses import run
from infra.zones import paths as paths_module
from infra.zones.paths import ClusterPaths
from infra.zones.supervisord import Program, Supervisor, render
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

TIMEOUT_SECONDS = 20.0
SLOW_TO_STOP = "trap 'sleep 1.5; exit 0' TERM; while :; do sleep 0.1; done"


@pytest.fixture
def supervised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClusterPaths]:
    """Paths of a supervisor with a program that takes a moment to stop."""
    monkeypatch.setattr(paths_module, "RUNTIME", tmp_path)
    paths = ClusterPaths(tmp_path / "state", "r")
    for folder in (paths.run, paths.config):
        folder.mkdir(parents=True)
    program = Program("apiserver", ["sh", "-c", SLOW_TO_STOP], tmp_path / "program.log")
    text = render([program], socket=paths.socket, pidfile=paths.pidfile, log=tmp_path / "supervisor.log")
    paths.supervisor_config.write_text(text)
    supervisor = Supervisor(paths)
    supervisor.start()
    try:
        wait_for_state(paths, "RUNNING")
        yield paths
    finally:
        supervisor.stop()


def wait_for_state(paths: ClusterPaths, state: str) -> None:
    def reached() -> bool:
        return paths.socket.exists() and Supervisor(paths).states() == {"apiserver": state}

    wait_until(f"state {state}", reached, TIMEOUT_SECONDS)


def test_undo_starts_a_program_that_is_still_stopping(supervised: ClusterPaths) -> None:
    fault = zones.control_plane_outage(supervised)
    stop = guarded_commands.start(fault.inject[0], "stop")
    wait_for_state(supervised, "STOPPING")
    guarded_commands.end_all("stop")
    stop.communicate()
    for command in (*fault.undo, *fault.undo):
        run(command)
    assert Supervisor(supervised).states() == {"apiserver": "RUNNING"}
