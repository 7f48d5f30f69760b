"""What is read of a machine, from folders that look like one's /proc and /sys/fs/cgroup."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.faults import hosts

UID = "0b1e2a"


def add(proc: Path, name: str, parent: int, started: int, state: str = "S") -> None:
    """Add a process that started at `started` and has a tenth of that as its number."""
    fields = [state, str(parent), *("0" * 17), str(started), "0"]
    folder = proc / str(started // 10)
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


def test_processes_of_a_container_come_eldest_first_without_those_that_vanished(
    proc: Path, mount: Path
) -> None:
    found = hosts.processes(hosts.container_group(UID, "containerd://c1", "memory", mount), proc)
    assert [each.pid for each in found] == [10, 11, 12, 13]
    assert found[1].name == "odd) name"
    assert found == hosts.processes(hosts.pod_group(UID, "memory", mount), proc)


def test_the_main_process_and_the_postmaster_are_told_apart(proc: Path, mount: Path) -> None:
    found = hosts.processes(hosts.pod_group(UID, "memory", mount), proc)
    main = hosts.main_process(found)
    assert main is not None
    assert main.name == "patroni"
    assert hosts.named(found, "postgres")[0].pid == 12
    assert hosts.named(found, "redis-server") == ()


def test_a_pod_of_the_guaranteed_class_is_found_too(tmp_path: Path) -> None:
    group = tmp_path / "cpu" / "esq-paper-zone-b" / "kubepods" / "pod77"
    group.mkdir(parents=True)
    assert hosts.pod_group("77", "cpu", tmp_path) == group


def test_what_is_gone_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    assert hosts.pod_group("77", "memory", tmp_path) is None
    assert hosts.container_group("77", "c1", "memory", tmp_path) is None
    assert hosts.processes(None) == ()
    assert hosts.processes(tmp_path / "gone") == ()
    assert hosts.main_process(()) is None
    assert hosts.process(4_194_303) is None


def test_limits_are_read_as_they_are_to_be_restored(tmp_path: Path) -> None:
    (tmp_path / "cpu.cfs_quota_us").write_text("-1\n")
    (tmp_path / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert hosts.cpu_quota(tmp_path) == hosts.memory_limit(tmp_path) == hosts.UNLIMITED
    (tmp_path / "memory.limit_in_bytes").write_text("268435456\n")
    assert hosts.memory_limit(tmp_path) == 1 << 28
