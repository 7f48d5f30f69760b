"""Scripts of the Postgres pods, run with stand-ins for the programs that they call."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from patroni.config import Config

from infra.config_files import pgbackrest, postgres

if TYPE_CHECKING:
    from pathlib import Path


class Programs:
    """Stand-ins on the search path; each call of one that records is a line of the log."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log"
        self.log.touch()

    def add(self, name: str, script: str) -> None:
        program = self.folder / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def start(self, script: str) -> subprocess.Popen[bytes]:
        environment = {"PATH": f"{self.folder}:{os.environ['PATH']}", "PATRONI_NAME": "postgres-1"}
        return subprocess.Popen(["/bin/sh", "-c", script], env=environment)

    def wait_for_log(self, text: str) -> None:
        deadline = time.monotonic() + 10
        while self.log.read_text() != text:
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


@pytest.mark.parametrize(
    ("in_recovery", "called"), [("f", "switchover --force --primary postgres-1\n"), ("t", "")]
)
def test_primary_hands_over_before_it_stops(programs: Programs, in_recovery: str, called: str) -> None:
    programs.add("psql", f"echo {in_recovery}")
    programs.add("patronictl", f'echo "$@" >> {programs.log}; exit 1')
    assert programs.start(postgres.render_stop_script()).wait(10) == 0, "a refusal does not fail the stop"
    assert programs.log.read_text() == called


def test_member_without_running_postgres_stops_at_once(programs: Programs) -> None:
    programs.add("psql", "exit 2")
    programs.add("patronictl", f"echo called >> {programs.log}")
    assert programs.start(postgres.render_stop_script()).wait(10) == 0
    assert programs.log.read_text() == ""


def test_backup_server_reads_a_changed_certificate_again(programs: Programs) -> None:
    certificate = programs.folder / "tls.crt"
    certificate.write_text("first")
    programs.add("sleep", "exec /bin/sleep 0.05")
    programs.add(
        "pgbackrest",
        f"trap 'echo reload >> {programs.log}' HUP\necho \"$@\" >> {programs.log}\n"
        "while :; do /bin/sleep 0.05; done",
    )
    server = programs.start(pgbackrest.render_server_script([str(certificate)]))
    try:
        programs.wait_for_log("server\n")
        replacement = certificate.with_name("new")
        replacement.write_text("second")
        replacement.rename(certificate)
        programs.wait_for_log("server\nreload\n")
    finally:
        server.kill()
        server.wait()


def authentication(generation: str) -> str:
    accounts = {use: (f"{use}_{generation}", generation) for use in ("replication", "rewind")}
    return postgres.render_authentication_yaml(accounts, generation)


def test_patroni_merges_the_accounts_and_reads_a_change(tmp_path: Path) -> None:
    cluster = postgres.render_patroni_yaml(scope="s", labels={}, shared_buffers="64MB", max_connections=9)
    (tmp_path / "1-cluster.yml").write_text(cluster)
    accounts = tmp_path / "2-authentication.yml"
    accounts.write_text(authentication("a"))
    config = Config(str(tmp_path))
    assert config["scope"] == "s"
    assert config["restapi"]["auth"] == "patroni:a"
    accounts.write_text(authentication("b"))
    assert config.reload_local_configuration()
    assert config["restapi"]["auth"] == "patroni:b"
    assert config["postgresql"]["authentication"]["replication"]["username"] == "replication_b"
    assert config["postgresql"]["authentication"]["rewind"]["sslmode"] == "verify-full"
    assert config["postgresql"]["authentication"]["superuser"] == {"username": "postgres"}
    assert config["postgresql"]["parameters"]["ssl"] == "on"
