"""What a cluster does on a host, tried in temporary folders: certificates, files, groups, preflight."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
import yaml

from infra.certificate_authority import KeyPair
from infra.errors import Problem, ProblemsError
from infra.progress import RecordingProgress
from infra.zones import Cluster, cgroups, disks, network, packages, pki, preflight
from infra.zones.paths import write_atomically
from infra.zones.supervisord import Supervisor

if TYPE_CHECKING:
    from pathlib import Path

    from infra.zones.control_plane import Tools
    from infra.zones.paths import ClusterPaths
    from infra.zones.spec import ClusterSpec


def test_certificates_are_made_once_and_only_their_owner_reads_keys(
    spec: ClusterSpec, layout: ClusterPaths
) -> None:
    pki.ensure(spec, layout)
    before = {path.name: path.read_bytes() for path in layout.pki.iterdir()}
    pki.ensure(spec, layout)
    assert {path.name: path.read_bytes() for path in layout.pki.iterdir()} == before
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in layout.pki.iterdir())
    assert stat.S_IMODE(layout.kubeconfig.stat().st_mode) == 0o600


def test_the_kubeconfig_points_to_the_control_plane_as_administrator(
    spec: ClusterSpec, layout: ClusterPaths
) -> None:
    pki.ensure(spec, layout)
    document = yaml.safe_load(layout.kubeconfig.read_text())
    assert document["clusters"][0]["cluster"]["server"] == f"https://{spec.control}:6443"
    pair = KeyPair(
        certificate=(layout.pki / "admin.crt").read_text(), key=(layout.pki / "admin.key").read_text()
    )
    assert "system:masters" in pair.parsed.subject.rfc4514_string()


def test_a_lost_certificate_comes_back_under_the_same_authority(
    spec: ClusterSpec, layout: ClusterPaths
) -> None:
    pki.ensure(spec, layout)
    authority = (layout.pki / "ca.crt").read_text()
    (layout.pki / "scheduler.crt").unlink()
    pki.ensure(spec, layout)
    assert (layout.pki / "ca.crt").read_text() == authority
    assert (layout.pki / "scheduler.crt").exists()


def test_a_file_is_replaced_whole_and_only_when_it_changes(tmp_path: Path) -> None:
    path = write_atomically(tmp_path / "deep" / "file", "one")
    inode = path.stat().st_ino
    assert write_atomically(path, "one").stat().st_ino == inode
    assert write_atomically(path, "two").read_text() == "two"
    assert [each.name for each in path.parent.iterdir()] == ["file"]


def test_control_groups_are_made_in_every_hierarchy_and_removed_with_all_below(tmp_path: Path) -> None:
    for name in ("memory", "cpuset"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cgroup.procs").touch()
    (tmp_path / "cpuset" / "cpuset.cpus").write_text("0-1")
    (tmp_path / "notes").mkdir()
    cgroups.create("zone", tmp_path)
    assert (tmp_path / "cpuset" / "zone" / "cpuset.cpus").read_text() == "0-1"
    (
        tmp_path / "cpuset" / "zone" / "cpuset.cpus"
    ).unlink()  # the kernel takes its files along; a folder does not
    (tmp_path / "memory" / "zone" / "pods" / "one").mkdir(parents=True)
    cgroups.remove("zone", tmp_path)
    assert not list(tmp_path.glob("*/zone"))
    cgroups.remove("zone", tmp_path)


def test_what_is_frozen_is_thawed_before_its_group_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "freezer" / "zone").mkdir(parents=True)
    (tmp_path / "freezer" / "cgroup.procs").touch()
    state = tmp_path / "freezer" / "zone" / "freezer.state"
    state.write_text("FROZEN")
    monkeypatch.setattr(cgroups, "_try_remove", lambda _: state.read_text() == "THAWED")
    cgroups.remove("zone", tmp_path)
    cgroups.thaw("none", tmp_path)


def test_a_disk_is_made_once_sparse_and_for_its_owner_only(layout: ClusterPaths) -> None:
    layout.node("zone-a").mkdir(parents=True)
    disk = disks.disk_file(layout, "zone-a")
    disk.with_suffix(".new").write_text("of an interrupted start")
    disks.ensure(layout, "zone-a")
    made = disk.stat()
    assert (made.st_size, stat.S_IMODE(made.st_mode)) == (disks.SIZE_BYTES, 0o600)
    assert made.st_blocks * 512 < 64 << 20
    disks.ensure(layout, "zone-a")
    assert disk.stat().st_mtime_ns == made.st_mtime_ns
    assert sorted(path.name for path in disk.parent.iterdir()) == ["volumes.img"]


def test_who_is_not_root_is_told_so_alone(
    spec: ClusterSpec, layout: ClusterPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert [problem.location for problem in preflight.check(spec, layout)] == ["user"]


def test_everything_that_is_missing_is_told_together(
    spec: ClusterSpec, layout: ClusterPaths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(packages, "missing", lambda: ["haproxy", "runc"])
    monkeypatch.setattr(preflight, "MOUNT", tmp_path)
    monkeypatch.setattr(preflight, "MIN_MEMORY_BYTES", 1 << 60)
    monkeypatch.setattr(preflight, "MIN_DISK_BYTES", 1 << 60)
    problems = preflight.check(spec, layout)
    assert {problem.location for problem in problems} >= {"Debian packages", "memory"}
    assert len(problems) == 4
    assert all(problem.remedy for problem in problems)


def test_a_host_with_only_the_second_kind_of_control_groups_is_refused_with_the_reason(
    spec: ClusterSpec, layout: ClusterPaths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cgroup.controllers").touch()
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(preflight, "MOUNT", tmp_path)
    monkeypatch.setattr(packages, "missing", lambda: ["runc"])
    assert any("cgroup v2" in problem.message for problem in preflight.check(spec, layout))


def test_a_cluster_that_is_down_says_so_and_starts_nothing_on_a_host_that_lacks_things(
    spec: ClusterSpec, layout: ClusterPaths, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(spec, layout.root, tools)
    status = cluster.status()
    assert (status.running, status.healthy, status.nodes) == (False, False, ())
    assert cluster.supervisor_pid is None
    problem = Problem("none", "kernel", "Get one.")
    monkeypatch.setattr(preflight, "check", lambda *_: [problem])
    created: list[object] = []
    monkeypatch.setattr(network, "create", created.append)
    with pytest.raises(ProblemsError) as caught:
        cluster.up(RecordingProgress())
    assert caught.value.problems == (problem,)
    assert not created


def test_a_supervisor_that_does_not_run_has_no_states_and_stops_at_once(layout: ClusterPaths) -> None:
    supervisor = Supervisor(layout)
    assert supervisor.states() == {}
    supervisor.stop()
