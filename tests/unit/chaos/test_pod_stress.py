"""The programs of a stress fault, run on this machine instead of in a container."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psutil
import pytest

from chaos.faults import pod_stress
from chaos.faults.kubectl import new_fault_id
from chaos.pod_location import PodLocation
from tests.servers.process import wait_until

POD = PodLocation(
    "esq-data", "redis-0", "zone-a", "node-a", "uid", {"redis": "containerd://0123"}, {"redis": "image"}
)


def _busy_loops(fault_id: str) -> list[psutil.Process]:
    marked = []
    for process in psutil.process_iter():
        try:
            if process.cmdline()[-1:] == [f"esq-fault-{fault_id}"] and process.name() == "sh":
                marked.append(process)
        except psutil.NoSuchProcess:
            continue
    return marked


def _programs(workers: int) -> tuple[str, list[str], list[str]]:
    """Return the id of a fault and the programs that start and end its busy loops."""
    fault = pod_stress.cpu_stress(Path("kubeconfig"), POD, "redis", workers)
    start = list(fault.inject[0])
    start = start[start.index("--") + 1 :]
    end = list(fault.undo[0])
    return start[3], start, end[end.index("redis") + 1 :]


def test_undo_ends_the_processes_of_its_fault_and_no_others() -> None:
    (fault_id, start, end), (other_id, other_start, other_end) = _programs(2), _programs(1)
    try:
        for program in (start, other_start):
            subprocess.run(program, check=True, timeout=30)
        wait_until("busy loops", lambda: len(_busy_loops(fault_id)) == 2, 30)
        wait_until("the other loop", lambda: len(_busy_loops(other_id)) == 1, 30)
        for _ in range(2):
            subprocess.run(end, check=True, timeout=30)
            wait_until("their end", lambda: not _busy_loops(fault_id), 30)
        assert len(_busy_loops(other_id)) == 1
    finally:
        subprocess.run(end, check=True, timeout=30)
        subprocess.run(other_end, check=True, timeout=30)
    wait_until("the end of the other loop", lambda: not _busy_loops(other_id), 30)


def test_busy_loops_end_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_stress, "MAX_SECONDS", 1)
    fault_id, start, end = _programs(1)
    try:
        subprocess.run(start, check=True, timeout=30)
        wait_until("their end", lambda: not _busy_loops(fault_id), 30)
    finally:
        subprocess.run(end, check=True, timeout=30)


def test_faults_have_different_ids() -> None:
    assert new_fault_id() != new_fault_id()
