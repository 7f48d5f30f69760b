"""Certificates, files, control groups, disks and preflight checks, in temporary folders."""

from __future__ import annotations

import fcntl
import stat
import subprocess
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import yaml

from infra.certificate_authority import KeyPair
from infra.errors import Problem, ProblemsError
from infra.files import write_atomically
from infra.progress import RecordingProgress
from infra.zones import Cluster, caches, cgroups, disks, network, packages, pki, preflight
from infra.zones.status import ClusterStatus
from infra.zones.supervisord import Supervisor
from infra.zones.toolchain.tools import TOOLS_BY_NAME

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from infra.zones.control_plane import Tools
    from infra.zones.paths import ClusterPaths
    from infra.zones.spec import ClusterSpec


def test_certificates_are_issued_once_and_readable_by_their_owner_only(
    spec: ClusterSpec, paths: ClusterPaths
) -> None:
    pki.ensure(spec, paths)
    before = {path.name: path.read_bytes() for path in paths.pki.iterdir()}
    pki.ensure(spec, paths)
    assert {path.name: path.read_bytes() for path in paths.pki.iterdir()} == before
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in paths.pki.iterdir())
    assert stat.S_IMODE(paths.kubeconfig.stat().st_mode) == 0o600


def test_kubeconfig_is_of_an_administrator_at_the_control_plane(
    spec: ClusterSpec, paths: ClusterPaths
) -> None:
    pki.ensure(spec, paths)
    document = yaml.safe_load(paths.kubeconfig.read_text())
    assert document["clusters"][0]["cluster"]["server"] == f"https://{spec.control}:6443"
    pair = KeyPair(
        certificate=(paths.pki / "admin.crt").read_text(), key=(paths.pki / "admin.key").read_text()
    )
    assert "system:masters" in pair.parsed.subject.rfc4514_string()


def test_missing_certificate_is_issued_by_the_same_authority(spec: ClusterSpec, paths: ClusterPaths) -> None:
    pki.ensure(spec, paths)
    authority = (paths.pki / "ca.crt").read_text()
    (paths.pki / "scheduler.crt").unlink()
    pki.ensure(spec, paths)
    assert (paths.pki / "ca.crt").read_text() == authority
    assert (paths.pki / "scheduler.crt").exists()


def test_write_atomically_replaces_only_changed_files(tmp_path: Path) -> None:
    path = write_atomically(tmp_path / "deep" / "file", "one")
    inode = path.stat().st_ino
    assert write_atomically(path, "one").stat().st_ino == inode
    assert write_atomically(path, "two").read_text() == "two"
    assert [file.name for file in path.parent.iterdir()] == ["file"]


def test_control_groups_are_created_in_every_hierarchy_and_removed_recursively(tmp_path: Path) -> None:
    for name in ("memory", "cpuset"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cgroup.procs").touch()
    (tmp_path / "cpuset" / "cpuset.cpus").write_text("0-1")
    (tmp_path / "notes").mkdir()
    cgroups.create("zone", tmp_path)
    assert (tmp_path / "cpuset" / "zone" / "cpuset.cpus").read_text() == "0-1"
    (
        tmp_path / "cpuset" / "zone" / "cpuset.cpus"
    ).unlink()  # the kernel removes its own files; a plain folder does not
    (tmp_path / "memory" / "zone" / "pods" / "one").mkdir(parents=True)
    cgroups.remove("zone", tmp_path)
    assert not list(tmp_path.glob("*/zone"))
    cgroups.remove("zone", tmp_path)


def test_frozen_group_is_thawed_before_removal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "freezer" / "zone").mkdir(parents=True)
    (tmp_path / "freezer" / "cgroup.procs").touch()
    state = tmp_path / "freezer" / "zone" / "freezer.state"
    state.write_text("FROZEN")
    monkeypatch.setattr(cgroups, "_try_remove", lambda _: state.read_text() == "THAWED")
    cgroups.remove("zone", tmp_path)
    cgroups.thaw("none", tmp_path)


def test_disk_is_created_once_sparse_and_private(paths: ClusterPaths) -> None:
    paths.node("zone-a").mkdir(parents=True)
    disk = disks.disk_file(paths, "zone-a")
    disk.with_suffix(".new").write_text("incomplete")
    disks.ensure(paths, "zone-a")
    created = disk.stat()
    assert (created.st_size, stat.S_IMODE(created.st_mode)) == (disks.SIZE_BYTES, 0o600)
    assert created.st_blocks * 512 < 64 << 20
    disks.ensure(paths, "zone-a")
    assert disk.stat().st_mtime_ns == created.st_mtime_ns
    assert sorted(path.name for path in disk.parent.iterdir()) == ["volumes.img"]


def test_only_missing_root_is_reported_to_other_users(
    spec: ClusterSpec, paths: ClusterPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert [problem.location for problem in preflight.check(spec, paths)] == ["user"]


def test_all_problems_are_reported_together(
    spec: ClusterSpec, paths: ClusterPaths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(packages, "missing", lambda: ["haproxy", "runc"])
    monkeypatch.setattr(preflight, "MOUNT", tmp_path)
    monkeypatch.setattr(preflight, "MIN_MEMORY_BYTES", 1 << 60)
    monkeypatch.setattr(preflight, "MIN_DISK_BYTES", 1 << 60)
    problems = preflight.check(spec, paths)
    assert {problem.location for problem in problems} >= {"Debian packages", "memory"}
    assert len(problems) == 4, problems
    assert all(problem.remedy for problem in problems)


def test_cgroup_v2_only_host_is_rejected_with_a_reason(
    spec: ClusterSpec, paths: ClusterPaths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cgroup.controllers").touch()
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(preflight, "MOUNT", tmp_path)
    monkeypatch.setattr(packages, "missing", lambda: ["runc"])
    assert any("cgroup v2" in problem.message for problem in preflight.check(spec, paths))


def test_stopped_cluster_starts_nothing_on_an_unsuitable_host(
    spec: ClusterSpec, paths: ClusterPaths, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(spec, paths.root, tools)
    status = cluster.status()
    assert (status.running, status.healthy, status.nodes) == (False, False, ())
    assert Supervisor(paths).pid is None
    problem = Problem("none", "kernel", "Get one.")
    monkeypatch.setattr(preflight, "check", lambda *_: [problem])
    created: list[object] = []
    monkeypatch.setattr(network, "create", created.append)
    with pytest.raises(ProblemsError) as caught:
        cluster.up(RecordingProgress())
    assert caught.value.problems == (problem,)
    assert not created
    assert not paths.config.exists(), "configuration is written after preflight"


def test_written_configuration_that_was_never_applied_is_not_running(
    spec: ClusterSpec, paths: ClusterPaths, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    cluster = Cluster(spec, paths.root, tools)
    monkeypatch.setattr("infra.zones.paths.RUNTIME", paths.root / "run")
    monkeypatch.setattr(preflight, "check", lambda *_: [])
    monkeypatch.setattr(network, "exists", lambda _: True)
    for name in ("restrict_access", "reconnect"):
        monkeypatch.setattr(network, name, lambda *_: None)
    monkeypatch.setattr(cgroups, "thaw", lambda *_: None)
    monkeypatch.setattr(Supervisor, "pid", 1)
    monkeypatch.setattr(Supervisor, "start", lambda _: started.append("start"))
    for name in ("poll_nodes", "states"):
        monkeypatch.setattr(Supervisor, name, lambda *_: {})
    monkeypatch.setattr("infra.zones.api.Api.wait_until_ready", lambda *_: None)
    monkeypatch.setattr("infra.zones.api.Api.apply", lambda *_: None)
    healthy = ClusterStatus(
        name=spec.name, running=True, processes={}, nodes=(), kubeconfig="", edge="", registry=""
    )
    monkeypatch.setattr(Cluster, "status", lambda _: healthy)
    monkeypatch.setattr(ClusterStatus, "healthy", True)
    cluster._write_configuration()  # by a run that was killed before it started anything
    cluster.up(RecordingProgress())
    assert started == ["start"]
    cluster.up(RecordingProgress())
    assert started == ["start"], "what was applied is running"


def test_space_that_a_cluster_uses_counts_as_available(
    paths: ClusterPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "MIN_MEMORY_BYTES", 0)
    usage = SimpleNamespace(free=3 * preflight.GIBIBYTE)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    assert "Free 8.0 GiB" in next(iter(preflight._resources(paths))).remedy
    monkeypatch.setattr(preflight, "disk_usage_bytes", lambda _: 6 * preflight.GIBIBYTE)
    assert list(preflight._resources(paths)) == []
    usage.free = preflight.GIBIBYTE
    assert "Free 2.0 GiB" in next(iter(preflight._resources(paths))).remedy


def test_package_sources_of_the_classic_installer_are_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classic, deb822 = tmp_path / "sources.list", tmp_path / "debian.sources"
    monkeypatch.setattr(packages, "SOURCES", (deb822, classic))
    assert [problem.location for problem in preflight._sources()] == [f"{deb822} and {classic}"]
    classic.write_text("# deb http://deb.debian.org/debian bookworm main\n")
    assert packages.sources_file() is None
    classic.write_text("deb http://deb.debian.org/debian bookworm main\n")
    assert packages.sources_file() == classic
    deb822.write_text("Types: deb\nURIs: http://deb.debian.org/debian\nSuites: bookworm bookworm-updates\n")
    assert packages.sources_file() == deb822
    assert list(preflight._sources()) == []


def test_only_folders_that_nothing_uses_are_outdated(tmp_path: Path) -> None:
    current = tmp_path / "toolchain" / TOOLS_BY_NAME["etcd"].key
    used, outdated = tmp_path / "venv-000000000001", tmp_path / "toolchain" / "etcd-3.0.0-000000000000"
    for folder in (current, used, outdated, tmp_path / "toolchain" / "logs", tmp_path / "images"):
        folder.mkdir(parents=True)
    (outdated / "etcd").write_bytes(b"x" * 8192)
    (used / "sleep").symlink_to("/bin/sleep")
    process = subprocess.Popen([used / "sleep", "60"])
    try:
        (folder,) = caches.outdated_folders(tmp_path)
    finally:
        process.kill()
        process.wait()
    assert folder.path == outdated
    assert folder.size_bytes >= 8192
    assert {folder.path for folder in caches.outdated_folders(tmp_path)} == {outdated, used}


def test_folder_in_an_argument_or_of_a_running_build_is_kept(tmp_path: Path) -> None:
    toolchain = tmp_path / "toolchain"
    named, prefix = toolchain / "go-000000000001.new", toolchain / "go-000000000001"
    building = toolchain / ".garage-1.0-000000000001.new"
    for folder in (named, prefix, building, tmp_path / "build" / "garage", toolchain / "logs"):
        folder.mkdir(parents=True)
    process = subprocess.Popen(["/bin/sh", "-c", "read _", f"--target={named}"], stdin=subprocess.PIPE)
    try:
        with (toolchain / "logs" / "garage.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert [folder.path for folder in caches.outdated_folders(tmp_path)] == [prefix]
            assert not caches.remove_folder(tmp_path, building)
    finally:
        process.communicate()
    assert len(caches.outdated_folders(tmp_path)) == 4
    assert caches.remove_folder(tmp_path, building)
    assert not building.exists()


@pytest.mark.parametrize("name", ["venv-000000000001", "toolchain/etcd-1.0-000000000001", "build/garage"])
def test_interrupted_removal_leaves_nothing_that_counts_as_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / name
    folder.mkdir(parents=True)
    (folder / ".complete").touch()
    with monkeypatch.context() as patch:
        patch.setattr(caches.shutil, "rmtree", interrupted_by_the_second_call())
        with pytest.raises(KeyboardInterrupt):
            caches.remove_folder(tmp_path, folder)
    assert not folder.exists()
    (left,) = caches.outdated_folders(tmp_path)
    assert caches.remove_folder(tmp_path, left.path)
    assert list(folder.parent.iterdir()) == []


def interrupted_by_the_second_call() -> Callable[..., None]:
    calls = []

    def rmtree(*arguments: object, **_options: object) -> None:
        calls.append(arguments)
        if len(calls) > 1:
            raise KeyboardInterrupt

    return rmtree


def test_missing_supervisor_has_no_states_and_stops_at_once(paths: ClusterPaths) -> None:
    supervisor = Supervisor(paths)
    assert supervisor.states() == {}
    supervisor.stop()
