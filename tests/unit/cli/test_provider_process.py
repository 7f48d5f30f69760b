"""The provider's process: started once, ended with its parent; the provider is a script here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli import provider_process
from cli.provider_process import ProviderProcess
from infra.errors import EsqError

if TYPE_CHECKING:
    from collections.abc import Callable

PROJECT = Path(__file__).parents[3]
PROVIDER = """#!/bin/sh
echo $$ >> "$0.pids"
echo "$KUBECONFIG $PULUMI_K8S_ENABLE_PATCH_FORCE" > "$0.variables"
echo 4242
exec sleep 60
"""
PARENT = """
import sys, time
from pathlib import Path
from cli.provider_process import ProviderProcess
provider = ProviderProcess(Path(sys.argv[1]), Path("/the/kubeconfig"))
print(provider.attachment, flush=True)
time.sleep(60)
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    program = tmp_path / "provider"
    program.write_text(PROVIDER)
    program.chmod(0o755)
    return program


def pids(program: Path) -> list[int]:
    return [int(line) for line in program.with_name("provider.pids").read_text().split()]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def wait_for_exit(pid: int) -> None:
    wait_for(lambda: not Path(f"/proc/{pid}").exists())


def session_members(session: int) -> list[int]:
    """Return the running processes of a session; zombies are not among them."""
    members = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            if folder.name.isdigit():
                state, _, _, sid = (folder / "stat").read_text().rpartition(") ")[2].split()[:4]
                if int(sid) == session and state != "Z":
                    members.append(int(folder.name))
    return members


def test_provider_is_started_once_with_its_settings(program: Path) -> None:
    provider = ProviderProcess(program, Path("/the/kubeconfig"))
    assert [provider.attachment, provider.attachment] == ["kubernetes:4242"] * 2
    assert program.with_name("provider.variables").read_text() == "/the/kubeconfig true\n"
    (pid,) = pids(program)
    provider.close()
    wait_for_exit(pid)
    provider.close()


def test_provider_is_started_again_after_it_ended(program: Path) -> None:
    provider = ProviderProcess(program, Path("/the/kubeconfig"))
    assert provider.attachment
    provider.close()
    assert provider.attachment
    assert len(pids(program)) == 2
    provider.close()


def test_provider_of_an_expected_run_starts_beside_the_present_one(program: Path) -> None:
    provider = ProviderProcess(program, Path("/the/kubeconfig"))
    provider.expect_runs(2)
    assert provider.attachment
    wait_for(lambda: len(pids(program)) == 2)
    provider.close()
    assert provider.attachment
    provider.close()
    for pid in pids(program):
        wait_for_exit(pid)
    assert provider.attachment, "a run that was not expected starts its own"
    provider.close()
    assert len(pids(program)) == 3


def test_killed_parent_leaves_no_provider(program: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(program)], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "kubernetes:4242\n"
        parent.send_signal(signal.SIGKILL)
    wait_for_exit(pids(program)[0])


def test_provider_that_does_not_start_is_reported(program: Path) -> None:
    program.write_text("#!/bin/sh\necho no kubeconfig >&2\nexit 1\n")
    with pytest.raises(EsqError, match="does not start: it ended") as error:
        _ = ProviderProcess(program, Path("/the/kubeconfig")).attachment
    assert error.value.detail == "no kubeconfig"


def test_provider_that_prints_no_port_is_ended_after_the_timeout(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program.write_text(PROVIDER.replace("echo 4242", "echo waiting >&2"))
    monkeypatch.setattr(provider_process, "_START_TIMEOUT_SECONDS", 0.5)
    with pytest.raises(EsqError, match="no port within") as error:
        _ = ProviderProcess(program, Path("/the/kubeconfig")).attachment
    assert error.value.detail == "waiting"
    wait_for_exit(pids(program)[0])


def test_provider_that_ended_by_itself_leaves_no_process_and_is_started_again(program: Path) -> None:
    provider = ProviderProcess(program, Path("/the/kubeconfig"))
    assert provider.attachment
    (pid,) = pids(program)
    session = os.getsid(pid)
    assert len(session_members(session)) == 3  # the shell, the watcher and the provider
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not session_members(session))
    assert provider.attachment
    assert len(pids(program)) == 2
    provider.close()
