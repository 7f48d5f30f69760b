"""The baseline on a real Python process, with py-spy and memray."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from cli.actions.audit.baseline.allocations import record_allocations
from cli.actions.audit.baseline.audit import BaselineRequest, record_baseline
from cli.actions.audit.baseline.processes import ServiceProcess
from infra.progress import RecordingProgress
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.contract
PROGRAM = """
import sys
kept = []
def allocate_much():
    kept.append(bytearray(30_000_000))
def burn():
    return sum(range(20_000))
allocate_much()
open(sys.argv[1], "w").close()
while True:
    burn()
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


@pytest.fixture
def running(program: Path, tmp_path: Path) -> Iterator[ServiceProcess]:
    ready = tmp_path / "ready"
    with subprocess.Popen([sys.executable, str(program), str(ready)]) as process:
        try:
            wait_until("the program to run", ready.exists, 30)
            yield ServiceProcess("campaigns-worker", process.pid)
        finally:
            process.kill()


def use_cpu(process: ServiceProcess, seconds: float) -> None:
    """Return when the process has used this much more CPU time."""
    target = psutil.Process(process.pid)
    end = sum(target.cpu_times()[:2]) + seconds
    wait_until("CPU time of the program", lambda: sum(target.cpu_times()[:2]) >= end, 120)


def test_baseline_names_what_costs_most_and_compares_with_the_last(
    running: ServiceProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.actions.audit.baseline.allocations.RUN_SECONDS", 3.0)
    request = BaselineRequest("local", tmp_path, "campaigns", 20.0, "esq audit baseline local")

    reports = [
        record_baseline([running], lambda: use_cpu(running, 1.5), request, RecordingProgress())
        for _ in range(2)
    ]

    (first, page), (second, _) = reports
    (cost,) = first.processes
    assert "burn (program.py)" in [item.name.replace(f"{tmp_path}/", "") for item in cost.functions]
    assert cost.cores > 0
    assert cost.resident_mib > 28
    assert cost.samples > 10
    assert cost.allocated_mib is not None
    assert 28 < cost.allocated_mib < 60
    assert "allocate_much" in cost.allocations[0].name
    assert first.compared_with == ""
    assert second.compared_with == page.parent.name or second.compared_with.endswith("-campaigns")
    assert "<svg" in page.read_text()
    assert (page.parent / f"campaigns-worker-{running.pid}.txt").exists()
    assert (page.parent / "campaigns-worker-allocations.txt").exists()
    assert psutil.pid_exists(running.pid)


def test_program_that_ends_is_recorded_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "short.py"
    path.write_text("def allocate():\n    return bytearray(20_000_000)\nkept = allocate()\n")

    stacks = record_allocations([str(path)], dict(os.environ), tmp_path / "short.memray", 60.0)

    assert sum(weight for stack, weight in stacks.items() if "allocate" in stack[-1]) >= 20_000_000
