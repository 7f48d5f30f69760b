"""Locust's master and workers against a server with a known stall: an open loop measures it, a closed one does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import pytest

from loadtests import generator_processes
from loadtests.generator_processes import GeneratorPool
from loadtests.master_messages import GeneratorFailedError
from loadtests.merge import latency_from_samples, merge_results
from loadtests.protocol import CONFIG_VARIABLE, LoadConfig, LoadProfile, LoadTarget, Progress
from loadtests.scenarios import FOLDER, locustfile
from loadtests.shapes import Shape, Spacing
from loadtests.verdict import generator_problems
from tests.integration.load.servers import STALL_SECONDS, StallingServer, running_server
from tests.servers.process import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loadtests.protocol import GeneratorResult

pytestmark = pytest.mark.integration
STALL_AT = 2.0
RATE, SECONDS = 100.0, 8.0
MAX_RUNS = 3
GENERATOR_NICENESS = -15
EXIT_SECONDS = 30
CLOSED_PORT_URL = "http://127.0.0.1:1"


@pytest.fixture
def server() -> Iterator[StallingServer]:
    with running_server() as running:
        yield running


def profile(rate: float = RATE, seconds: float = SECONDS, spacing: Spacing = Spacing.EVEN) -> LoadProfile:
    return LoadProfile(shape=Shape.STEADY, rate=rate, duration_seconds=seconds, spacing=spacing)


def locust_processes() -> list[psutil.Process]:
    """Return the Locust processes that this test has started, also those whose parent has ended.

    Those of another checkout, which tests at the same time, are not this test's to kill.
    """
    own = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if str(locustfile("self-test")) in command and process.pid not in OTHER_PROCESSES:
            own.append(process)
    return own


OTHER_PROCESSES = frozenset(process.pid for process in psutil.process_iter())
"""Processes that ran before these tests."""


def results_with_stall(server: StallingServer) -> list[GeneratorResult]:
    """Run two workers; `server` stalls once when they have run for `STALL_AT`."""
    server.stall_from = float("inf")
    with GeneratorPool("self-test", profile(), LoadTarget(url=server.url), 2) as generators:

        def schedule_stall(_: Progress) -> None:
            if server.stall_from < float("inf"):
                return
            server.stall_from = max(time.monotonic(), generators.start + STALL_AT)
            for process in locust_processes():
                with suppress(psutil.AccessDenied):  # without root, other processes may delay them
                    process.nice(GENERATOR_NICENESS)

        return generators.run(schedule_stall)


def closed_loop(url: str) -> list[float]:
    """Request the page as a closed-loop user: the next request waits for the previous response."""
    import httpx  # noqa: PLC0415 - only this function needs it

    latencies = []
    end = time.monotonic() + SECONDS
    with httpx.Client() as client:
        while (started_at := time.monotonic()) < end:
            client.get(url)
            latencies.append(time.monotonic() - started_at)
            time.sleep(1 / RATE)  # interval of the loop
    return latencies


def test_open_loop_measures_a_stall_that_a_closed_loop_hides(server: StallingServer) -> None:
    for _ in range(MAX_RUNS):  # on a busy machine, the first run with punctual generators
        results = results_with_stall(server)
        requests = merge_results(results)
        if not requests.generator_lagged:
            break
    assert generator_problems(requests) == []
    assert requests.all.count == requests.offered == requests.accepted == RATE * SECONDS
    # A quarter of the arrivals waits, evenly from the whole stall to nothing: an eighth for half of it.
    assert requests.all.percentiles[1] > STALL_SECONDS / 2
    assert requests.p99 > 0.9 * STALL_SECONDS

    server.stall_from = time.monotonic() + STALL_AT
    assert latency_from_samples(closed_loop(server.url)).p99 < requests.p99 / 4

    offsets = [result.clock_offset for result in results]
    assert all(offset and abs(offset.seconds) <= offset.uncertainty_seconds for offset in offsets)
    assert locust_processes() == []


def test_connection_errors_are_failures() -> None:
    run = profile(rate=20, seconds=1)
    with GeneratorPool("self-test", run, LoadTarget(url=CLOSED_PORT_URL), 2) as generators:
        requests = merge_results(generators.run(lambda _: None))
    assert requests.failed_percent == 100
    assert "refused" in str(requests.errors).lower()


def test_missing_locustfile_is_reported_with_its_error() -> None:
    with (
        GeneratorPool("none", profile(), LoadTarget(url=CLOSED_PORT_URL), 1) as generators,
        pytest.raises(GeneratorFailedError, match="exited") as caught,
    ):
        generators.run(lambda _: None)
    assert "Could not find" in caught.value.detail


def test_killed_worker_makes_the_run_invalid(server: StallingServer) -> None:
    with GeneratorPool("self-test", profile(seconds=60), LoadTarget(url=server.url), 2) as generators:
        killed: list[psutil.Process] = []

        def kill_a_worker(progress: Progress) -> None:
            if progress.done > 20 and not killed:
                workers = [
                    process for process in locust_processes() if process.ppid() != psutil.Process().pid
                ]
                killed.append(workers[0])
                workers[0].kill()

        results = generators.run(kill_a_worker)
        assert time.monotonic() < generators.start + 60, "the run ends when a worker is lost"
    requests = merge_results(results)
    problems = "; ".join(generator_problems(requests))
    assert problems.count("no result of worker") == problems.count("stopped before the end") == 1
    assert requests.accepted > 0, "the results of the other worker are known"
    assert locust_processes() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_the_tool(server: StallingServer, number: signal.Signals) -> None:
    program = (
        "from tests.integration.load.test_open_loop import *\n"
        f"with GeneratorPool('self-test', profile(seconds=60), LoadTarget(url='{server.url}'), 2) as pool:\n"
        "    pool.run(lambda progress: print(progress.done, flush=True))"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as tool:
        assert tool.stdout is not None
        while int(tool.stdout.readline()) == 0:
            pass
        assert len(locust_processes()) == 4  # the master, the parent of the workers, and two of these
        tool.send_signal(number)
        tool.wait(60)
    deadline = time.monotonic() + EXIT_SECONDS
    while locust_processes():
        assert time.monotonic() < deadline, locust_processes()
        time.sleep(0.1)  # polling interval


def test_worker_of_another_machine_shares_the_load(server: StallingServer, tmp_path: Path) -> None:
    """As in docs/load-tests.md, with loopback for the tunnel."""
    port, config = free_port(), tmp_path / "load.json"
    target, run = LoadTarget(url=server.url), profile(rate=20, seconds=3)
    config.write_text(LoadConfig(profile=profile(rate=1), target=target).model_dump_json())
    worker = [sys.executable, "-P", "-m", "locust", "-f", str(FOLDER / "self_test.py"), "--worker"]
    with (
        GeneratorPool("self-test", run, target, 1, remote_count=1, port=port) as generators,
        subprocess.Popen(
            [*worker, "--master-port", str(port)],
            cwd=FOLDER.parent,
            env={**os.environ, CONFIG_VARIABLE: str(config)},
            stderr=subprocess.DEVNULL,
        ) as remote,
    ):
        results = generators.run(lambda _: None)
        assert [result.arrivals for result in results] == [30, 30]
        remote.wait(EXIT_SECONDS)  # it ends with the master


def test_missing_worker_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator_processes, "REMOTE_START_TIMEOUT_SECONDS", 5)
    with (
        GeneratorPool(
            "self-test", profile(), LoadTarget(url=CLOSED_PORT_URL), 1, remote_count=1
        ) as generators,
        pytest.raises(GeneratorFailedError) as caught,
    ):
        generators.run(lambda _: None)
    assert "Gave up waiting for workers" in caught.value.detail
