"""The provider's process: started once, ended with its parent; the provider is a script here."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.provider_process import ProviderProcess
from infra.errors import EsqError

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


def wait_for_exit(pid: int) -> None:
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{pid}").exists()


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


def test_killed_parent_leaves_no_provider(program: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(program)], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "kubernetes:4242\n"
        parent.send_signal(signal.SIGKILL)
    wait_for_exit(pids(program)[0])


def test_provider_that_does_not_start_is_reported(program: Path) -> None:
    program.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(EsqError, match="does not start"):
        _ = ProviderProcess(program, Path("/the/kubeconfig")).attachment
