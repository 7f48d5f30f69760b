"""A real supervisor, in a state folder with a space and an accent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from infra.zones import ClusterSpec
from infra.zones import paths as paths_module
from infra.zones.paths import ClusterPaths
from infra.zones.supervisord import Program, Supervisor, render
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]


def test_programs_do_not_run_in_the_working_directory_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths_module, "RUNTIME", tmp_path)
    monkeypatch.chdir(tmp_path)
    paths = ClusterPaths(tmp_path / "größe und ort", "web")
    paths.create(ClusterSpec().zones)
    program = Program("web", ["sh", "-c", "pwd; exec sleep 60"], paths.log("web"))
    paths.supervisor_config.write_text(
        render([program], socket=paths.socket, pidfile=paths.pidfile, log=paths.log("supervisor"))
    )
    supervisor = Supervisor(paths)
    try:
        supervisor.start()
        wait_until(
            "the program", lambda: paths.log("web").exists() and paths.log("web").read_text() != "", 20
        )
        assert paths.log("web").read_text() == "/\n"
    finally:
        supervisor.stop()
