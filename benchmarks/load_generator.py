"""Cost and punctuality of the load generator, against a server in another process that answers immediately.

For each checkout in turn, several rounds: CPU time of all processes of the generator per 1,000 requests (the
difference of a long and a short run, which leaves the start out), and the highest rate at which at most 1 %
of the arrivals are late.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 3
RATE = 300
SHORT_SECONDS, LONG_SECONDS = 3, 18
SEARCH_SECONDS = 6
SEARCH_RATES = (200, 300, 400, 500, 600, 700, 800, 1000, 1200, 1400, 1600, 2000)
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GENERATOR = """
import json, resource, sys
from loadtests.generator_processes import GeneratorPool
from loadtests.merge import merge_results
from loadtests.protocol import LoadProfile, LoadTarget
url, rate, seconds, workers = sys.argv[1], *map(int, sys.argv[2:])
profile = LoadProfile(shape="steady", rate=rate, duration_seconds=seconds, spacing="even")
with GeneratorPool("self-test", profile, LoadTarget(url=url), workers) as generators:
    requests = merge_results(generators.run(lambda _: None))
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"cpu": usage.ru_utime + usage.ru_stime, "offered": requests.offered, "late": requests.late,
                  "accepted": requests.accepted, "p99_ms": requests.p99 * 1000}))
"""


class Page(asyncio.Protocol):
    """Answers each request with the same page."""

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - uvloop's is no `asyncio.Transport`
        """Store the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer the requests; they have no body and arrive whole."""
        self.transport.write(RESPONSE * data.count(b"\r\n\r\n"))


def serve(listener: socket.socket) -> None:
    """Serve on a socket until the process is killed."""

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Page, sock=listener)
        await server.serve_forever()

    uvloop.run(run())


def run_generator(checkout: Path, url: str, rate: int, seconds: int, workers: int) -> dict[str, float]:
    """Run the generator of a checkout.

    Args:
        checkout: folder of the project.
        url: URL of the server.
        rate: arrivals per second.
        seconds: length of the run.
        workers: number of workers.

    Returns:
        CPU seconds, arrivals, late and accepted ones, and the 99th percentile of the latency.
    """
    program = subprocess.run(
        [sys.executable, "-P", "-c", GENERATOR, url, str(rate), str(seconds), str(workers)],
        env={**os.environ, "PYTHONPATH": str(checkout)},
        cwd=checkout,
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return dict(json.loads(program.stdout))


def measure(checkout: Path, url: str, workers: int) -> dict[str, float]:
    """Return the CPU time per 1,000 requests and the highest punctual rate of a checkout.

    Args:
        checkout: folder of the project.
        url: URL of the server.
        workers: number of workers.
    """
    short = run_generator(checkout, url, RATE, SHORT_SECONDS, workers)
    long = run_generator(checkout, url, RATE, LONG_SECONDS, workers)
    requests = long["accepted"] - short["accepted"]
    return {
        "cpu_seconds_per_1000_requests": round(1000 * (long["cpu"] - short["cpu"]) / requests, 3),
        "p99_ms": round(long["p99_ms"], 2),
        "late_percent": round(100 * long["late"] / long["offered"], 2),
        "max_rate": max(punctual_rates(checkout, url, workers), default=0),
    }


def punctual_rates(checkout: Path, url: str, workers: int) -> Iterator[int]:
    """Yield the rates, from low to high, at which all arrivals are accepted and at most 1 % are late.

    Args:
        checkout: folder of the project.
        url: URL of the server.
        workers: number of workers.
    """
    for rate in SEARCH_RATES:
        run = run_generator(checkout, url, rate, SEARCH_SECONDS, workers)
        if run["late"] > 0.01 * run["offered"] or run["accepted"] < run["offered"]:
            return
        yield rate


def main() -> None:
    """Measure the checkouts alternately and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", nargs="*", type=Path, default=[Path(__file__).resolve().parents[1]])
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = os.fork()
        if server == 0:
            serve(listener)
        try:
            for _ in range(ROUNDS):
                for checkout in arguments.checkout:
                    figures = measure(checkout.resolve(), url, arguments.workers)
                    print(json.dumps({"checkout": str(checkout), **figures}), flush=True)  # noqa: T201
        finally:
            os.kill(server, 9)


if __name__ == "__main__":
    main()
