"""Limits of control groups, on folders that look like them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from chaos.faults import Command
from chaos.faults.hosts import UNLIMITED
from chaos.faults.pressure import cpu_pressure, disk_full, memory_pressure
from infra.zones.layout import Layout

MEBIBYTE = 1 << 20


def code(command: Command) -> int:
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


def test_a_quota_is_set_and_the_old_one_restored(group: Path) -> None:
    fault = cpu_pressure("x", group, 0.2, before=50_000)
    setting = group / "cpu.cfs_quota_us"
    assert code(fault.inject[0]) == 0
    assert setting.read_text() == "20000\n"
    for _ in range(2):
        assert code(fault.undo[0]) == 0
        assert setting.read_text() == "50000\n"


def test_memory_is_squeezed_to_what_is_held_and_some_room(group: Path) -> None:
    fault = memory_pressure("x", group, 4 * MEBIBYTE, before=256 * MEBIBYTE)
    setting = group / "memory.limit_in_bytes"
    assert code(fault.inject[0]) == 0
    assert int(setting.read_text()) == 84 * MEBIBYTE
    assert code(fault.undo[0]) == 0
    assert int(setting.read_text()) == 256 * MEBIBYTE


def test_a_group_that_is_gone_cannot_be_hurt_and_need_not_be_mended(tmp_path: Path) -> None:
    for fault in (
        cpu_pressure("x", tmp_path / "gone", 0.2),
        memory_pressure("x", tmp_path / "gone", MEBIBYTE),
    ):
        assert code(fault.inject[0]) != 0
        assert code(fault.undo[0]) == 0


def test_no_limit_is_restored_as_no_limit(group: Path) -> None:
    assert f"echo {UNLIMITED} >" in memory_pressure("x", group, MEBIBYTE).undo[0][-1]


def test_a_disk_that_was_never_made_is_not_mounted(layout: Layout) -> None:
    fault = disk_full(layout, "zone-a")
    assert "|| exit 1; mount" in fault.inject[0][-1]
    assert "|| exit 0; mount" in fault.undo[0][-1]
