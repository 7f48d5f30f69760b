"""Processes of a cluster: waiting for the API server, restarts on changed files, orphans, saved specs."""

from __future__ import annotations

import http.server
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from infra.errors import EsqError, UsageError
from infra.files import write_atomically
from infra.progress import RecordingProgress
from infra.zones import (
    Cluster,
    ClusterSpec,
    cgroups,
    network,
    orphan_processes,
    pki,
    supervisord,
    wait_for_apiserver,
)
from infra.zones import paths as paths_module
from infra.zones.supervisord import Program, Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.zones.control_plane import Tools
    from infra.zones.paths import ClusterPaths


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == wait_for_apiserver.READY_PATH else 403)
        self.end_headers()
        self.wfile.write(b"because")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(spec: ClusterSpec, paths: ClusterPaths, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A fake API server that requires a client certificate of the cluster."""
    pki.ensure(spec, paths)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(paths.pki / "ca.crt"))
    context.load_cert_chain(paths.pki / "apiserver.crt", paths.pki / "apiserver.key")
    context.verify_mode = ssl.CERT_REQUIRED
    with http.server.HTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        monkeypatch.setattr(wait_for_apiserver, "PORT", server.server_port)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("server")
def test_available_api_server_has_no_unavailability_reason(paths: ClusterPaths) -> None:
    assert (
        wait_for_apiserver.unavailability_reason(
            "127.0.0.1", wait_for_apiserver.READY_PATH, paths.pki, "scheduler"
        )
        is None
    )


@pytest.mark.usefixtures("server")
def test_error_response_is_returned_as_the_reason(paths: ClusterPaths) -> None:
    assert (
        wait_for_apiserver.unavailability_reason("127.0.0.1", "/else", paths.pki, "scheduler")
        == "403 because"
    )


def test_unreachable_api_server_is_reported(
    spec: ClusterSpec, paths: ClusterPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    pki.ensure(spec, paths)
    monkeypatch.setattr(wait_for_apiserver, "PORT", 1)
    assert "refused" in (
        wait_for_apiserver.unavailability_reason(
            "127.0.0.1", wait_for_apiserver.READY_PATH, paths.pki, "admin"
        )
        or ""
    )


@pytest.mark.usefixtures("server")
def test_program_is_executed_after_the_wait(paths: ClusterPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    executed: list[tuple[Any, ...]] = []
    monkeypatch.setattr("os.execv", lambda *args: executed.append(args))
    wait_for_apiserver.main(
        "127.0.0.1", wait_for_apiserver.READY_PATH, str(paths.pki), "scheduler", "/tools/it", "--flag"
    )
    assert executed == [("/tools/it", ("/tools/it", "--flag"))]


def test_program_restarts_only_when_watched_files_change(tmp_path: Path) -> None:
    folder = tmp_path / "config"
    first = write_atomically(folder / "one", "1")

    def variables() -> dict[str, str]:
        return Program(
            "web", ["serve"], tmp_path / "log", watched_files=[folder, tmp_path / "missing"]
        ).variables

    before = variables()
    write_atomically(first, "1")
    assert variables() == before
    write_atomically(first, "2")
    changed = variables()
    assert changed != before
    write_atomically(folder / "two", "2")
    assert variables() not in (before, changed)


def test_program_without_watched_files_has_no_digest(tmp_path: Path) -> None:
    assert Program("web", ["serve"], tmp_path / "log", environment={"A": "b"}).variables == {"A": "b"}


def test_only_own_programs_are_orphans(
    spec: ClusterSpec, paths: ClusterPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def process(name: str, file: Path) -> SimpleNamespace:
        return SimpleNamespace(pid=4_000_000, info={"name": name, "cmdline": [name, "-f", str(file)]})

    edge = process("haproxy", paths.config / "haproxy.cfg")
    supervisor = process("supervisord", paths.supervisor_config)
    editor = process("vim", paths.config / "haproxy.cfg")
    of_another = process("haproxy", paths.root.with_name("other") / "config" / "haproxy.cfg")
    monkeypatch.setattr("psutil.process_iter", lambda _: [edge, editor, supervisor, of_another])
    assert orphan_processes.find_orphans(spec, paths) == [edge, supervisor]


def test_helper_is_an_orphan_only_if_its_pid_file_matches(
    spec: ClusterSpec, paths: ClusterPaths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(paths_module, "RUNTIME", tmp_path)
    paths.run.mkdir()
    (paths.run / "delay.pid").write_text("7\n")
    monkeypatch.setattr(orphan_processes, "_namespace_pids", lambda _: [])
    arguments = ["python3", "line.py", str(paths.run / "delay.pid")]
    helper, editor, other = (
        SimpleNamespace(pid=pid, info={"name": argv[0], "cmdline": argv})
        for pid, argv in ((7, arguments), (8, ["vi", arguments[-1]]), (7, ["python3", "mine.py"]))
    )
    monkeypatch.setattr("psutil.process_iter", lambda _: [helper, editor, other])
    assert orphan_processes.find_orphans(spec, paths) == [helper]


def test_call_of_a_hanging_supervisor_times_out(
    paths: ClusterPaths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(paths_module, "RUNTIME", tmp_path)
    monkeypatch.setattr(supervisord, "STOP_TIMEOUT_SECONDS", 0.05)
    paths.run.mkdir()
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(paths.socket))
        silent.listen()
        with pytest.raises(EsqError, match="timed out"):
            Supervisor(paths).call("getState")


def test_zombie_counts_as_exited() -> None:
    program = (
        "import subprocess, time\n"
        "child = subprocess.Popen(['sleep', '100'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(100)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        supervisord.kill([child], location="here")
        assert child.status() == psutil.STATUS_ZOMBIE
        parent.kill()


def test_process_with_a_reused_pid_is_not_killed() -> None:
    # Longer than 10 ms, the resolution of process start times on Linux.
    with subprocess.Popen(["sleep", "0.1"]) as first:
        exited = psutil.Process(first.pid)
    with _process_with_pid(exited.pid) as other:
        supervisord.kill([exited], location="here")
        assert other.poll() is None
        other.kill()


def _process_with_pid(pid: int) -> subprocess.Popen[bytes]:
    """Return a process with that PID; retry, since another process may take it first."""
    for _ in range(100):
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        process = subprocess.Popen(["sleep", "100"])
        if process.pid == pid:
            return process
        process.kill()
        process.wait()
    pytest.fail(f"no process got PID {pid}")


def test_never_started_cluster_has_no_saved_spec(paths: ClusterPaths) -> None:
    assert ClusterSpec.load_saved(paths.root) is None


def test_changed_spec_of_an_existing_cluster_is_rejected(
    spec: ClusterSpec, paths: ClusterPaths, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = spec.model_copy(update={"zones": ("zone-a", "zone-b")})
    write_atomically(paths.spec, other.model_dump_json())
    created: list[object] = []
    monkeypatch.setattr(network, "create", created.append)
    with pytest.raises(UsageError, match="zone-a, zone-b"):
        Cluster(spec, paths.root, tools).up(RecordingProgress())
    assert ClusterSpec.load_saved(paths.root) == other
    assert not created


def test_cluster_with_etcd_in_a_folder_is_rejected(
    spec: ClusterSpec, paths: ClusterPaths, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its new, empty disk would hide the data."""
    (paths.etcd / "member").mkdir(parents=True)
    created: list[object] = []
    monkeypatch.setattr(network, "create", created.append)
    with pytest.raises(UsageError, match="earlier version"):
        Cluster(spec, paths.root, tools).up(RecordingProgress())
    assert not created


def test_group_that_cannot_be_removed_is_reported(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "cgroup.procs").touch()
    cgroups.create("zone", tmp_path)
    assert (tmp_path / "memory" / "zone").is_dir()
    (tmp_path / "memory" / "zone" / "file").touch()
    with pytest.raises(OSError, match="not empty"):
        cgroups.remove("zone", tmp_path)


def test_removal_waits_for_exiting_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "cgroup.procs").touch()
    cgroups.create("zone", tmp_path)
    results = iter([False, False, True])
    monkeypatch.setattr(cgroups, "_try_remove", lambda _: next(results))
    cgroups.remove("zone", tmp_path)
    assert list(results) == []
    monkeypatch.setattr(cgroups, "_try_remove", lambda _: False)
    monkeypatch.setattr(cgroups, "REMOVE_TIMEOUT_SECONDS", 0.0)
    with pytest.raises(OSError, match="a process is still in"):
        cgroups.remove("zone", tmp_path)
