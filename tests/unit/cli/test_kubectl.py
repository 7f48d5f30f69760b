"""Arguments of kubectl for logs, exec, port-forward and psql."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from cli.actions import kubectl
from cli.actions.workloads import WORKLOADS, find_workloads
from cli.commands import access
from infra.errors import UsageError
from infra.processes import PROCESSES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cli.actions.workloads import Workload


def _logs(workloads: list[Workload]) -> list[str]:
    return kubectl.logs_argv(workloads, follow=False, since="", tail=10, previous=False)


def test_logs_without_names_print_all_processes_of_the_application() -> None:
    names = [workload.name for workload in find_workloads([])]
    assert names == [process.name for process in PROCESSES]


def test_logs_of_several_workloads_use_one_selector() -> None:
    argv = _logs(find_workloads(["campaigns-api", "contacts-api"]))
    assert "--selector=app.kubernetes.io/name in (campaigns-api,contacts-api)" in argv
    assert "--container=main" in argv


def test_logs_of_workloads_with_different_containers_print_all_containers() -> None:
    assert "--all-containers" in _logs(find_workloads(["postgres", "redis"]))


def test_unknown_workloads_are_all_named() -> None:
    with pytest.raises(UsageError, match="no such workload: nosuch, other"):
        find_workloads(["nosuch", "postgres", "other"])


def test_workloads_of_two_namespaces_are_refused() -> None:
    with pytest.raises(UsageError, match="different namespaces"):
        find_workloads(["postgres", "campaigns-api"])


def test_options_of_the_command_are_not_options_of_kubectl() -> None:
    argv = kubectl.exec_argv(WORKLOADS["redis"], "redis-0", ["redis-cli", "--tls"], terminal=False)
    assert argv[argv.index("--") + 1 :] == ["redis-cli", "--tls"]


@pytest.mark.parametrize(
    ("ports", "forwarded"), [("", "5432:5432"), ("15432", "15432:5432"), ("1:8008", "1:8008")]
)
def test_forwarded_ports(ports: str, forwarded: str) -> None:
    argv = kubectl.port_forward_argv(WORKLOADS["postgres"], "postgres-0", ports)
    assert argv[-2:] == ["postgres-0", forwarded]
    assert "--address=127.0.0.1" in argv


@pytest.mark.parametrize("ports", ["x", "1:x", "70000", "-1"])
def test_invalid_ports_are_refused(ports: str) -> None:
    with pytest.raises(UsageError, match="invalid ports"):
        kubectl.port_forward_argv(WORKLOADS["postgres"], "postgres-0", ports)


def test_workload_without_a_port_needs_both_ports() -> None:
    with pytest.raises(UsageError, match="backup-verifier has no service"):
        kubectl.port_forward_argv(WORKLOADS["backup-verifier"], "backup-verifier-0", "")
    argv = kubectl.port_forward_argv(WORKLOADS["backup-verifier"], "backup-verifier-0", "1:2")
    assert argv[-1] == "1:2"


def test_pods_without_lines_do_not_end_the_logs() -> None:
    assert "--ignore-errors" in _logs(find_workloads(["campaigns-api"]))


def test_kubectl_is_stopped_by_a_closed_pipe(tmp_path: Path) -> None:
    kubectl_script = tmp_path / "kubectl"
    kubectl_script.write_text("#!/bin/sh\ngrep SigIgn: /proc/self/status\n")
    kubectl_script.chmod(0o755)
    program = (
        "from pathlib import Path; from types import SimpleNamespace as N; from cli.actions import kubectl; "
        "kubectl.replace_process(N(tools=N(list=list), kubeconfig=Path('none')), [])"
    )
    environment = {"PATH": f"{tmp_path}:/bin:/usr/bin", "PYTHONPATH": os.pathsep.join(sys.path)}
    ignored = subprocess.check_output([sys.executable, "-c", program], env=environment, text=True)
    assert not int(ignored.split()[1], 16) & 1 << signal.SIGPIPE - 1


@pytest.mark.parametrize(("write", "read_only"), [(False, "on"), (True, "off")])
def test_psql_is_read_only_unless_writes_are_allowed(tmp_path: Path, write: bool, read_only: str) -> None:  # noqa: FBT001 - a parameter
    program = tmp_path / "psql"
    program.write_text('#!/bin/sh\necho "$PGOPTIONS|$*"\n')
    program.chmod(0o755)
    printed = subprocess.run(
        kubectl.psql_command(["-c", "SELECT 'a b'"], write=write),
        env={"PATH": f"{tmp_path}:/bin:/usr/bin"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed.startswith(f"-c default_transaction_read_only={read_only}|")
    assert printed.endswith("-c SELECT 'a b'\n")


@pytest.mark.parametrize("command", [["psql", "local"], ["exec", "local", "postgres"]])
@pytest.mark.parametrize("separator", [[], ["--"]])
def test_separator_is_no_argument_of_the_program(
    command: list[str], separator: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[str] = []

    def run(_env: str, workload: str, _pod: str | None, argv: Callable[[Workload, str], list[str]]) -> None:
        received.extend(argv(WORKLOADS[workload], "postgres-0"))

    monkeypatch.setattr(access, "_run_in_pod", run)
    done = CliRunner().invoke(access.app, [*command, *separator, "program", "-c", "SELECT 1"])
    assert done.exit_code == 0, done.output
    assert received[-3:] == ["program", "-c", "SELECT 1"]
    assert received[-4] == ("psql" if command[0] == "psql" else "--")
    assert received[-5] != "--"
