"""The generator against a server whose stalls are known: an open loop sees them, a closed one does not."""

from __future__ import annotations

import http.server
import threading
import time
from typing import TYPE_CHECKING, ClassVar

import pytest

from loadtests.merge import latency, merge
from loadtests.order import Ground, Timetable
from loadtests.process import GeneratorFailedError, Generators
from loadtests.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtests.result import Requests

pytestmark = pytest.mark.integration
STALL_AT, STALL_SECONDS = 2.0, 2.0
RATE, SECONDS = 100.0, 8.0


class Stalling(http.server.ThreadingHTTPServer):
    """Answers at once, but for one stall in which it answers nobody."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.stall_from = float("inf")


class Page(http.server.BaseHTTPRequestHandler):
    """The only page."""

    protocol_version = "HTTP/1.1"
    status: ClassVar[int] = 200

    def do_GET(self) -> None:
        assert isinstance(self.server, Stalling)
        since = time.monotonic() - self.server.stall_from
        if 0 <= since < STALL_SECONDS:
            time.sleep(STALL_SECONDS - since)  # this is the stall, not a wait
        self.send_response(404 if self.path == "/none" else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Stalling]:
    with Stalling() as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


def run(server: Stalling, url: str, rate: float = RATE, seconds: float = SECONDS) -> Requests:
    timetable = Timetable(shape=Shape.STEADY, rate=rate, seconds=seconds)
    with Generators("pages", timetable, Ground(url=url), 2, "test") as generators:
        told = generators.run(lambda _: None)
        assert server.stall_from == float("inf") or server.stall_from > generators.start
    return merge(told)


def closed_loop(url: str) -> list[float]:
    """Ask as a user does who waits for each answer: the next second begins when the last one is over."""
    import httpx  # noqa: PLC0415 - only this test asks by itself

    waits = []
    ends = time.monotonic() + SECONDS
    with httpx.Client() as client:
        while (began := time.monotonic()) < ends:
            client.get(url)
            waits.append(time.monotonic() - began)
            time.sleep(1 / RATE)  # the pace of the loop
    return waits


def test_a_stall_is_seen_by_everyone_who_would_have_asked(server: Stalling) -> None:
    url = f"http://127.0.0.1:{server.server_address[1]}"
    server.stall_from = time.monotonic() + STALL_AT + 2.0
    found = run(server, url)
    assert not found.generator_lagged
    assert found.all.count == found.arrivals == RATE * SECONDS
    # A quarter of the run was a stall, in which waits ran evenly from two seconds down to nothing.
    assert found.all.percentiles[1] == pytest.approx(1.2, abs=0.2)
    assert found.p99 == pytest.approx(1.92, abs=0.1)

    server.stall_from = time.monotonic() + STALL_AT
    assert latency(closed_loop(url)).p99 < 0.1


def test_answers_that_are_errors_are_failures(server: Stalling) -> None:
    found = run(server, "http://127.0.0.1:1", rate=20, seconds=1)
    assert found.failed == 100
    assert "refused" in str(found.errors).lower()


def test_a_generator_that_cannot_begin_says_why() -> None:
    timetable = Timetable(shape=Shape.STEADY, rate=1, seconds=1)
    with (
        Generators("none", timetable, Ground(url="http://127.0.0.1:1"), 1, "test") as generators,
        pytest.raises(GeneratorFailedError, match="it has ended") as caught,
    ):
        generators.run(lambda _: None)
    assert "KeyError" in caught.value.detail


def test_too_much_for_a_generator_makes_the_run_invalid(server: Stalling) -> None:
    found = run(server, f"http://127.0.0.1:{server.server_address[1]}", rate=20_000, seconds=0.5)
    assert found.generator_lagged
