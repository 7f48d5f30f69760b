"""Who starts when, starts again and is ended: waiting for the API server, changed files, strays, kept specs."""

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
from infra.zones import paths as layouts
from infra.zones.paths import write_atomically
from infra.zones.supervisord import Program, Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.zones.control_plane import Tools
    from infra.zones.paths import ClusterPaths


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == wait_for_apiserver.READY_PATH else 403)
        self.end_headers()
        self.wfile.write(b"because")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(spec: ClusterSpec, layout: ClusterPaths, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An API server of few words, which asks for a certificate of the cluster."""
    pki.ensure(spec, layout)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(layout.pki / "ca.crt"))
    context.load_cert_chain(layout.pki / "apiserver.crt", layout.pki / "apiserver.key")
    context.verify_mode = ssl.CERT_REQUIRED
    with http.server.HTTPServer(("127.0.0.1", 0), _Answers) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        monkeypatch.setattr(wait_for_apiserver, "PORT", server.server_port)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("server")
def test_an_api_server_that_answers_refuses_nothing(layout: ClusterPaths) -> None:
    assert (
        wait_for_apiserver.unavailability_reason(
            "127.0.0.1", wait_for_apiserver.READY_PATH, layout.pki, "scheduler"
        )
        is None
    )


@pytest.mark.usefixtures("server")
def test_a_refusal_tells_why(layout: ClusterPaths) -> None:
    assert (
        wait_for_apiserver.unavailability_reason("127.0.0.1", "/else", layout.pki, "scheduler")
        == "403 because"
    )


def test_an_api_server_that_is_not_there_is_told(
    spec: ClusterSpec, layout: ClusterPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    pki.ensure(spec, layout)
    monkeypatch.setattr(wait_for_apiserver, "PORT", 1)
    assert "refused" in (
        wait_for_apiserver.unavailability_reason(
            "127.0.0.1", wait_for_apiserver.READY_PATH, layout.pki, "admin"
        )
        or ""
    )


@pytest.mark.usefixtures("server")
def test_who_waited_becomes_the_program(layout: ClusterPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[tuple[Any, ...]] = []
    monkeypatch.setattr("os.execv", lambda *words: became.append(words))
    wait_for_apiserver.main(
        "127.0.0.1", wait_for_apiserver.READY_PATH, str(layout.pki), "scheduler", "/tools/it", "--flag"
    )
    assert became == [("/tools/it", ("/tools/it", "--flag"))]


def test_a_program_starts_again_only_when_what_it_reads_has_changed(tmp_path: Path) -> None:
    folder = tmp_path / "config"
    first = write_atomically(folder / "one", "1")

    def told() -> dict[str, str]:
        return Program(
            "web", ["serve"], tmp_path / "log", watched_files=[folder, tmp_path / "missing"]
        ).variables

    before = told()
    write_atomically(first, "1")
    assert told() == before
    write_atomically(first, "2")
    changed = told()
    assert changed != before
    write_atomically(folder / "two", "2")
    assert told() not in (before, changed)


def test_a_program_that_reads_nothing_is_told_nothing(tmp_path: Path) -> None:
    assert Program("web", ["serve"], tmp_path / "log", environment={"A": "b"}).variables == {"A": "b"}


def test_only_our_own_programs_are_strays(
    spec: ClusterSpec, layout: ClusterPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def process(name: str, file: Path) -> SimpleNamespace:
        return SimpleNamespace(pid=4_000_000, info={"name": name, "cmdline": [name, "-f", str(file)]})

    edge = process("haproxy", layout.config / "haproxy.cfg")
    supervisor = process("supervisord", layout.supervisor_config)
    editor = process("vim", layout.config / "haproxy.cfg")
    of_another = process("haproxy", layout.root.with_name("other") / "config" / "haproxy.cfg")
    monkeypatch.setattr("psutil.process_iter", lambda _: [edge, editor, supervisor, of_another])
    assert orphan_processes.find_orphans(spec, layout) == [edge, supervisor]


def test_a_helper_is_a_stray_when_its_process_id_is_its_own(
    spec: ClusterSpec, layout: ClusterPaths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(layouts, "RUNTIME", tmp_path)
    layout.run.mkdir()
    (layout.run / "delay.pid").write_text("7\n")
    monkeypatch.setattr(orphan_processes, "_namespace_pids", lambda _: [])
    words = ["python3", "line.py", str(layout.run / "delay.pid")]
    helper, editor, other = (
        SimpleNamespace(pid=pid, info={"name": argv[0], "cmdline": argv})
        for pid, argv in ((7, words), (8, ["vi", words[-1]]), (7, ["python3", "mine.py"]))
    )
    monkeypatch.setattr("psutil.process_iter", lambda _: [helper, editor, other])
    assert orphan_processes.find_orphans(spec, layout) == [helper]


def test_a_supervisor_that_stands_still_is_not_waited_for(
    layout: ClusterPaths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(layouts, "RUNTIME", tmp_path)
    monkeypatch.setattr(supervisord, "STOP_TIMEOUT_SECONDS", 0.05)
    layout.run.mkdir()
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(layout.socket))
        silent.listen()
        with pytest.raises(EsqError, match="timed out"):
            Supervisor(layout).call("getState")


def test_one_that_nobody_asks_for_its_exit_code_has_ended_all_the_same() -> None:
    careless = (
        "import subprocess, time\n"
        "child = subprocess.Popen(['sleep', '100'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(100)\n"
    )
    with subprocess.Popen([sys.executable, "-c", careless], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        supervisord.kill([child], location="here")
        assert child.status() == psutil.STATUS_ZOMBIE
        parent.kill()


def test_who_has_the_number_of_one_that_ended_is_let_live() -> None:
    # Longer than the 10 ms in which Linux tells when a process began.
    with subprocess.Popen(["sleep", "0.1"]) as first:
        ended = psutil.Process(first.pid)
    with _process_numbered(ended.pid) as other:
        supervisord.kill([ended], location="here")
        assert other.poll() is None
        other.kill()


def _process_numbered(pid: int) -> subprocess.Popen[bytes]:
    """Return a process of that number; somebody else may start one in between, so it is tried again."""
    for _ in range(100):
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        process = subprocess.Popen(["sleep", "100"])
        if process.pid == pid:
            return process
        process.kill()
        process.wait()
    pytest.fail(f"no process got number {pid}")


def test_a_cluster_that_was_never_up_has_no_spec(layout: ClusterPaths) -> None:
    assert ClusterSpec.load_saved(layout.root) is None


def test_a_name_belongs_to_the_addresses_it_was_made_with(
    spec: ClusterSpec, layout: ClusterPaths, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = spec.model_copy(update={"zones": ("zone-a", "zone-b")})
    write_atomically(layout.spec, other.model_dump_json())
    created: list[object] = []
    monkeypatch.setattr(network, "create", created.append)
    with pytest.raises(UsageError, match="zone-a, zone-b"):
        Cluster(spec, layout.root, tools).up(RecordingProgress())
    assert ClusterSpec.load_saved(layout.root) == other
    assert not created


def test_a_group_that_cannot_be_removed_is_told(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "cgroup.procs").touch()
    cgroups.create("zone", tmp_path)
    assert cgroups.group_folders("zone", tmp_path) == [tmp_path / "memory" / "zone"]
    (tmp_path / "memory" / "zone" / "file").touch()
    with pytest.raises(OSError, match="not empty"):
        cgroups.remove("zone", tmp_path)


def test_a_group_whose_processes_are_just_ending_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "cgroup.procs").touch()
    cgroups.create("zone", tmp_path)
    answers = iter([False, False, True])
    monkeypatch.setattr(cgroups, "_try_remove", lambda _: next(answers))
    cgroups.remove("zone", tmp_path)
    assert list(answers) == []
    monkeypatch.setattr(cgroups, "_try_remove", lambda _: False)
    monkeypatch.setattr(cgroups, "REMOVE_TIMEOUT_SECONDS", 0.0)
    with pytest.raises(OSError, match="a process is still in"):
        cgroups.remove("zone", tmp_path)
