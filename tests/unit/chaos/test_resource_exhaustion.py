"""Resource faults on folders with the structure of cgroups."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from chaos.faults import Command
from chaos.faults.host_processes import UNLIMITED
from chaos.faults.resource_exhaustion import cpu_throttling, disk_full, memory_pressure
from infra.zones.paths import ClusterPaths

MEBIBYTE = 1 << 20


def exit_code(command: Command) -> int:
    return subprocess.run(command, check=False, capture_output=True).returncode


@pytest.fixture
def group(tmp_path: Path) -> Path:
    group = tmp_path / "a group"
    group.mkdir()
    (group / "cpu.cfs_quota_us").write_text("50000\n")
    (group / "memory.limit_in_bytes").write_text(f"{256 * MEBIBYTE}\n")
    (group / "memory.usage_in_bytes").write_text(f"{200 * MEBIBYTE}\n")
    (group / "memory.stat").write_text(f"cache 1\ntotal_cache 2\ntotal_rss {80 * MEBIBYTE}\n")
    return group


def test_cpu_quota_is_set_and_restored(group: Path) -> None:
    fault = cpu_throttling("x", group, 0.2, original_quota=50_000)
    setting = group / "cpu.cfs_quota_us"
    assert exit_code(fault.inject[0]) == 0
    assert setting.read_text() == "20000\n"
    for _ in range(2):
        assert exit_code(fault.undo[0]) == 0
        assert setting.read_text() == "50000\n"


def test_memory_limit_is_anonymous_memory_plus_headroom(group: Path) -> None:
    fault = memory_pressure("x", group, 4 * MEBIBYTE, original_limit=256 * MEBIBYTE)
    setting = group / "memory.limit_in_bytes"
    assert exit_code(fault.inject[0]) == 0
    assert int(setting.read_text()) == 84 * MEBIBYTE
    assert exit_code(fault.undo[0]) == 0
    assert int(setting.read_text()) == 256 * MEBIBYTE


def test_missing_cgroup_fails_the_injection_but_not_the_undo(tmp_path: Path) -> None:
    for fault in (
        cpu_throttling("x", tmp_path / "gone", 0.2),
        memory_pressure("x", tmp_path / "gone", MEBIBYTE),
    ):
        assert exit_code(fault.inject[0]) != 0
        assert exit_code(fault.undo[0]) == 0


def test_unlimited_is_restored_as_unlimited(group: Path) -> None:
    assert f"echo {UNLIMITED} >" in memory_pressure("x", group, MEBIBYTE).undo[0][-1]


def test_missing_disk_is_not_mounted(paths: ClusterPaths) -> None:
    fault = disk_full(paths, "zone-a")
    assert "|| exit 1; mount" in fault.inject[0][-1]
    assert "|| exit 0; mount" in fault.undo[0][-1]
