"""The generator against a server with a known stall: an open loop measures it, a closed loop does not."""

from __future__ import annotations

import http.server
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

import psutil
import pytest

from loadtests.generator_processes import GeneratorFailedError, GeneratorPool
from loadtests.merge import latency_from_samples, merge_results
from loadtests.protocol import LoadProfile, LoadTarget, Progress
from loadtests.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtests.results import Requests

pytestmark = pytest.mark.integration
STALL_AT, STALL_SECONDS = 2.0, 2.0
RATE, SECONDS = 100.0, 8.0
MAX_RUNS = 3
GENERATOR_NICENESS = -15


class StallingServer(http.server.ThreadingHTTPServer):
    """Answers immediately, except during one stall."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), PageHandler)
        self.stall_from = float("inf")


class PageHandler(http.server.BaseHTTPRequestHandler):
    """Handler of the only page."""

    protocol_version = "HTTP/1.1"
    status: ClassVar[int] = 200

    def do_GET(self) -> None:
        assert isinstance(self.server, StallingServer)
        since = time.monotonic() - self.server.stall_from
        if 0 <= since < STALL_SECONDS:
            time.sleep(STALL_SECONDS - since)  # the simulated stall
        self.send_response(404 if self.path == "/none" else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def server() -> Iterator[StallingServer]:
    with StallingServer() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def run(
    server: StallingServer, url: str, rate: float = RATE, seconds: float = SECONDS, niceness: int = 0
) -> Requests:
    """Run the generators; `server` stalls once when they have run for `STALL_AT`."""
    profile = LoadProfile(shape=Shape.STEADY, rate=rate, duration_seconds=seconds)
    others = set(psutil.Process().children())
    with GeneratorPool("self-test", profile, LoadTarget(url=url), 2, "test") as generators:
        for process in set(psutil.Process().children()) - others:
            with suppress(psutil.AccessDenied):  # without root, other processes of the machine may delay them
                process.nice(niceness)

        def schedule_stall(_: Progress) -> None:
            if server.stall_from == float("inf"):
                server.stall_from = max(time.monotonic(), generators.start + STALL_AT)

        results = generators.run(schedule_stall)
    return merge_results(results)


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


def run_with_stall(server: StallingServer, url: str) -> Requests:
    """Return a run of which a quarter is a stall; on a busy machine, the first one with punctual generators."""
    for _ in range(MAX_RUNS):
        server.stall_from = float("inf")
        requests = run(server, url, niceness=GENERATOR_NICENESS)
        if not requests.generator_lagged:
            return requests
    pytest.fail(f"the generators lagged in each of {MAX_RUNS} runs")


def test_open_loop_measures_a_stall_that_a_closed_loop_hides(server: StallingServer) -> None:
    url = f"http://127.0.0.1:{server.server_address[1]}"
    requests = run_with_stall(server, url)
    assert requests.all.count == requests.accepted == requests.offered == RATE * SECONDS
    # A quarter of the run was a stall, with latencies evenly distributed from two seconds to zero.
    # A busy machine adds to them.
    assert 1.0 < requests.all.percentiles[1] < 1.2 + 0.4
    assert 1.82 < requests.p99 < STALL_SECONDS + 0.4

    server.stall_from = time.monotonic() + STALL_AT
    assert latency_from_samples(closed_loop(url)).p99 < requests.p99 / 4


def test_connection_errors_are_failures(server: StallingServer) -> None:
    requests = run(server, "http://127.0.0.1:1", rate=20, seconds=1)
    assert requests.failed_percent == 100
    assert "refused" in str(requests.errors).lower()


def test_failed_generator_reports_its_error() -> None:
    profile = LoadProfile(shape=Shape.STEADY, rate=1, duration_seconds=1)
    with (
        GeneratorPool("none", profile, LoadTarget(url="http://127.0.0.1:1"), 1, "test") as generators,
        pytest.raises(GeneratorFailedError, match="it exited") as caught,
    ):
        generators.run(lambda _: None)
    assert "KeyError" in caught.value.detail


def test_error_of_the_generator_is_not_a_failure_of_the_platform() -> None:
    profile = LoadProfile(shape=Shape.STEADY, rate=20, duration_seconds=1)
    target = LoadTarget(url="http://127.0.0.1:1", companies=())  # no company can be chosen
    with GeneratorPool("campaign", profile, target, 1, "test") as generators:
        requests = merge_results(generators.run(lambda _: None))
    assert (requests.offered, requests.failed, requests.unresolved) == (20, 0, 20)
    assert list(requests.generator_errors) == ["ZeroDivisionError: integer modulo by zero"]


def test_overloaded_generator_makes_the_run_invalid(server: StallingServer) -> None:
    requests = run(server, f"http://127.0.0.1:{server.server_address[1]}", rate=10_000, seconds=0.5)
    assert requests.generator_lagged
