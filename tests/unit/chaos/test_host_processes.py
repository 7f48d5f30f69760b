"""Cgroups and processes of pods, read from folders with the structure of /proc and /sys/fs/cgroup."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.faults import host_processes

UID = "0b1e2a"


def add(proc: Path, name: str, parent_pid: int, start_ticks: int, state: str = "S") -> None:
    """Add a process whose pid is a tenth of `start_ticks`."""
    fields = [state, str(parent_pid), *("0" * 17), str(start_ticks), "0"]
    folder = proc / str(start_ticks // 10)
    folder.mkdir()
    (folder / "stat").write_text(f"{folder.name} ({name}) {' '.join(fields)}\n")


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    proc = tmp_path / "proc"
    proc.mkdir()
    add(proc, "patroni", 1, 100)
    add(proc, "postgres", 12, 130)
    add(proc, "postgres", 10, 120)
    add(proc, "odd) name", 10, 110)
    add(proc, "postgres", 12, 140, state="Z")
    return proc


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    group = tmp_path / "memory" / "esq-paper-zone-a" / "kubepods" / "burstable" / f"pod{UID}" / "c1"
    group.mkdir(parents=True)
    (group.parent / "cgroup.procs").write_text("")
    (group / "cgroup.procs").write_text("13\n10\n12\n11\n14\n99\n")
    return tmp_path


def test_processes_are_live_and_ordered_by_start_time(proc: Path, mount: Path) -> None:
    group = host_processes.container_cgroup(UID, "containerd://c1", "memory", mount)
    members = host_processes.processes(group, proc)
    assert [member.pid for member in members] == [10, 11, 12, 13]
    assert members[1].name == "odd) name"
    assert members == host_processes.processes(host_processes.pod_cgroup(UID, "memory", mount), proc)


def test_main_process_and_postmaster_are_distinguished(proc: Path, mount: Path) -> None:
    members = host_processes.processes(host_processes.pod_cgroup(UID, "memory", mount), proc)
    main = host_processes.main_process(members)
    assert main is not None
    assert main.name == "patroni"
    assert host_processes.processes_named(members, "postgres")[0].pid == 12
    assert host_processes.processes_named(members, "redis-server") == ()


def test_cgroup_of_a_guaranteed_pod(tmp_path: Path) -> None:
    group = tmp_path / "cpu" / "esq-paper-zone-b" / "kubepods" / "pod77"
    group.mkdir(parents=True)
    assert host_processes.pod_cgroup("77", "cpu", tmp_path) == group


def test_missing_cgroups_and_processes(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    assert host_processes.pod_cgroup("77", "memory", tmp_path) is None
    assert host_processes.container_cgroup("77", "c1", "memory", tmp_path) is None
    assert host_processes.processes(None) == ()
    assert host_processes.processes(tmp_path / "gone") == ()
    assert host_processes.main_process(()) is None
    assert host_processes.process(4_194_303) is None


def test_limits_are_read_in_the_form_that_restores_them(tmp_path: Path) -> None:
    (tmp_path / "cpu.cfs_quota_us").write_text("-1\n")
    (tmp_path / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert (
        host_processes.cpu_quota(tmp_path)
        == host_processes.memory_limit(tmp_path)
        == host_processes.UNLIMITED
    )
    (tmp_path / "memory.limit_in_bytes").write_text("268435456\n")
    assert host_processes.memory_limit(tmp_path) == 1 << 28
