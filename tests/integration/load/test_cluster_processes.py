"""The programs of a cluster's pods, run by this machine with the options of their manifests."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from loadtests.generator_processes import GeneratorPool
from loadtests.in_cluster.generators import ClusterGenerators
from loadtests.in_cluster.manifests import (
    APPLICATION_FOLDER,
    CONFIG_FOLDER,
    PORT,
    master_job,
    secret_data,
    worker_job,
)
from loadtests.merge import merge_results
from loadtests.protocol import LoadProfile, LoadTarget
from loadtests.scenarios import FOLDER
from loadtests.shapes import Shape, Spacing
from loadtests.verdict import generator_problems
from tests.integration.load.servers import running_server
from tests.servers.process import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loadtests.in_cluster.manifests import ClusterRun
    from loadtests.protocol import Progress

pytestmark = pytest.mark.integration
RATE, SECONDS, WORKERS = 20.0, 4.0, 2
RENEWED_RATE, RENEWED_SECONDS = 10.0, 8.0
EXIT_SECONDS = 30
CLOCK = "import sys, time\nfor _ in sys.stdin: print(time.monotonic(), flush=True)"


class Clock:
    """The clock of this machine, asked for by a pipe."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", CLOCK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def exchange_line(self, line: str = "") -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()

    def close(self) -> None:
        self._process.communicate()


class ProcessCluster:
    """Runs the containers of a run as processes of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self.processes: list[subprocess.Popen[bytes]] = []

    def create(self, run: ClusterRun, target: LoadTarget, ca: str | None) -> None:
        self.replace_config(run, target, ca)
        for job in (master_job(run), *[worker_job(run, "uid")] * run.workers):
            self._start(job["spec"]["template"]["spec"]["containers"][0], run.name)

    def _start(self, container: dict[str, Any], name: str) -> None:
        def local(text: str) -> str:
            text = text.replace(APPLICATION_FOLDER, str(FOLDER.parent))
            text = text.replace(CONFIG_FOLDER, str(self._folder))
            return {name: "127.0.0.1", str(PORT): str(self._port), "python3": sys.executable}.get(text, text)

        variables = {item["name"]: local(item["value"]) for item in container["env"]}
        with (self._folder / f"{len(self.processes)}.log").open("wb") as log:
            self.processes.append(
                subprocess.Popen(
                    [local(word) for word in container["command"]],
                    env=os.environ | {"PYTHONPATH": str(FOLDER.parent)} | variables,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,  # as in the log of a pod
                )
            )

    def delete(self, name: str) -> None:
        assert name
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(EXIT_SECONDS)

    def replace_config(self, run: ClusterRun, target: LoadTarget, ca: str | None) -> None:
        for key, text in secret_data(run.profile, target, ca).items():
            new = self._folder / "new"
            new.write_text(text)
            new.rename(self._folder / key)  # as the kubelet does

    def follow_log(self, run: ClusterRun) -> Iterator[str]:
        assert run.name
        with (self._folder / "0.log").open() as log:
            while True:
                has_ended = self.processes[0].poll() is not None
                while line := log.readline():
                    yield line
                if has_ended:
                    return
                time.sleep(0.05)  # polling interval

    def has_ended(self, run: ClusterRun) -> bool:
        assert run.name
        return self.processes[0].poll() is not None

    def problems(self, run: ClusterRun) -> list[str]:
        assert run.name
        return []

    def open_clock(self, run: ClusterRun) -> Clock:
        assert run.name
        return Clock()


def profile(rate: float, seconds: float) -> LoadProfile:
    return LoadProfile(shape=Shape.STEADY, rate=rate, duration_seconds=seconds, spacing=Spacing.EVEN)


def test_run_in_a_cluster_has_the_results_of_a_local_run(tmp_path: Path) -> None:
    cluster = ProcessCluster(tmp_path)
    with running_server() as server:
        target = LoadTarget(url=server.url)
        pool = ClusterGenerators(cluster, "image", "self-test", profile(RATE, SECONDS), target, WORKERS)
        with pool as generators:
            results = generators.run(lambda _: None)
            assert 0 < time.monotonic() - generators.start < 60
    requests = merge_results(results)
    assert requests.offered == RATE * SECONDS
    assert requests.accepted == requests.offered
    assert requests.all.histogram
    assert len(results) == WORKERS
    problems = [problem for problem in generator_problems(requests) if "late" not in problem]
    assert problems == [], "a busy machine may delay arrivals"
    assert all(process.returncode is not None for process in cluster.processes)


class TokenHandler(http.server.BaseHTTPRequestHandler):
    """Accepts requests, and keeps their tokens."""

    protocol_version = "HTTP/1.1"
    tokens: list[str]

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.tokens.append(self.headers["Authorization"].removeprefix("Bearer "))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_POST = answer  # noqa: N815 - names of the base class

    def handle(self) -> None:
        with suppress(ConnectionError):  # by a worker that ends
            super().handle()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def token_server() -> Iterator[tuple[str, list[str]]]:
    """Yield the URL of a server, and the tokens of the requests that it got."""
    tokens: list[str] = []
    handler = type("Handler", (TokenHandler,), {"tokens": tokens})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", tokens
        server.shutdown()


@pytest.mark.parametrize("in_cluster", [False, True])
def test_replaced_tokens_are_used_by_a_run_in_progress(tmp_path: Path, *, in_cluster: bool) -> None:
    run = profile(RENEWED_RATE, RENEWED_SECONDS)
    with token_server() as (url, tokens):
        target = LoadTarget(url=url, tokens={"acme": "first"})
        pool = (
            ClusterGenerators(ProcessCluster(tmp_path), "image", "api", run, target, 1)
            if in_cluster
            else GeneratorPool("api", run, target, 1)
        )
        with pool as generators:
            has_replaced: list[bool] = []

            def replace(progress: Progress) -> None:
                if progress.done > 0 and not has_replaced:
                    has_replaced.append(True)
                    generators.replace_tokens({"acme": "second"})

            results = generators.run(replace)
    assert merge_results(results).accepted == RENEWED_RATE * RENEWED_SECONDS
    assert tokens[0] == "first"
    assert tokens[-1] == "second", "the tokens were read again"
