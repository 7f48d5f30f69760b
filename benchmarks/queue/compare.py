"""Our queue against BullMQ, arq, taskiq and dramatiq: in one run, each on a fresh real Redis on loopback.

Each peer is one worker process at the same concurrency; Redis is emptied between measurements.
- throughput: no-op jobs that wait already, from the first start to the last end; how fast they were put in;
- memory: what Redis grew by for each job that waits, its arguments included (16 to 40 bytes);
- latency: one job each 10 ms to an idle worker, from the instant it was due to be sent until it starts;
- urgent: the same, of priority 0, while a million jobs of a low priority are being worked off (10 ms each);
- killed: jobs of 20 ms; the worker is killed with -9 and another started, while a trickle of others goes on;
  what has not run half a minute later is lost. Peers miss a dead worker after 2 s, where they can be told.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_cache_path

from tests.controllers.redis import Redis

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
LOW, HIGH = 3, 0
CONCURRENCY = 200
"""Of the no-op jobs; dramatiq takes its most, 16 threads."""
KILLED_CONCURRENCY = 20
GIVE_UP_SECONDS = 60.0
KILL_SECONDS = 30.0


@dataclass(frozen=True)
class Peer:
    """A queue to be measured.

    Attributes:
        name: of it.
        command: its program.
        priorities: whether what waits in it has priorities.
    """

    name: str
    command: tuple[str, ...]
    priorities: bool


def peers() -> list[Peer]:
    """Return all of them, with their environments made."""
    other, of_arq, here = _environment("benchmarks"), _environment("benchmarks-arq"), HERE / "peers"
    subprocess.run(
        ["npm", "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=HERE, check=True
    )
    return [
        Peer("ours", (sys.executable, str(here / "ours.py")), priorities=True),
        Peer("bullmq", ("node", str(here / "bullmq.mjs")), priorities=True),
        Peer("arq", (of_arq, str(here / "arq_peer.py")), priorities=False),
        Peer("taskiq", (other, str(here / "taskiq_peer.py")), priorities=False),
        Peer("dramatiq", (other, str(here / "dramatiq_peer.py")), priorities=False),
    ]


def _environment(name: str) -> str:
    """Return the interpreter of Python peers, made once per lock file."""
    lock = PROJECT / "locks" / f"{name}.txt"
    folder = user_cache_path("esq") / f"{name}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    python = folder / "bin" / "python"
    if not (folder / ".complete").exists():
        uv = [sys.executable, "-m", "uv"]
        subprocess.run(
            [*uv, "venv", "-q", "--clear", "--no-config", "-p", sys.executable, folder], check=True
        )
        sync = ["pip", "sync", "-q", "--no-config", "--require-hashes", "--python", python, lock]
        subprocess.run([*uv, *sync], check=True)
        (folder / ".complete").touch()
    return str(python)


class Bench:
    """One peer on one server."""

    def __init__(self, peer: Peer, server: Redis) -> None:
        self.peer = peer
        self._server = server

    def run(self, verb: str, *asked: object) -> dict[str, Any]:
        """Run the peer's program to its end, and return what it printed."""
        with self.start(verb, *asked) as process:
            out, _ = process.communicate(timeout=600)
        if process.returncode:
            raise RuntimeError(f"{self.peer.name} {verb} {asked} ended with {process.returncode}")
        return _figures(out)

    @contextmanager
    def start(self, verb: str, *asked: object) -> Iterator[subprocess.Popen[bytes]]:
        """Run it beside us, and end it when the block does."""
        process = subprocess.Popen(
            [*self.peer.command, verb, str(self._server.port), *map(str, asked)], stdout=subprocess.PIPE
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def memory(self) -> int:
        """Return the bytes of data in the server."""
        return int(self._server.ask("info", "memory").split("used_memory:")[1].split()[0])

    def empty(self) -> None:
        """Forget everything."""
        self._server.ask("flushall")

    def throughput(self, count: int) -> dict[str, float]:
        """Measure throughput and memory."""
        self.empty()
        before = self.memory()
        filled = self.run("fill", count, HIGH, 0)
        grown = self.memory() - before
        worked = self.run("work", count, "-", CONCURRENCY)
        return {
            "put_in_per_second": round(count / filled["seconds"]),
            "run_per_second": round(count / worked["seconds"]),
            "bytes_per_job": round(grown / count),
        }

    def latency(self, count: int, name: str = "latency") -> dict[str, float]:
        """Measure how soon single jobs start."""
        with self.start("work", count, "-", KILLED_CONCURRENCY) as worker:
            time.sleep(2.0)
            with self.start("trickle", count, HIGH, 0):
                out, _ = worker.communicate(timeout=GIVE_UP_SECONDS + count / 100)
        figures = _figures(out)
        return {f"{name}_p50_ms": round(figures["p50_ms"], 1), f"{name}_p99_ms": round(figures["p99_ms"], 1)}

    def urgent(self, low: int, count: int) -> dict[str, float]:
        """Measure how soon urgent jobs start in spite of many others."""
        self.empty()
        self.run("fill", low, LOW, 10)
        return self.latency(count, "urgent")

    def killed(self, count: int) -> dict[str, int]:
        """Kill a worker at work, and count what was lost and what ran twice."""
        self.empty()
        self.run("fill", count, LOW, 20)
        with tempfile.NamedTemporaryFile() as file:
            never = 10**9
            with self.start("work", never, file.name, KILLED_CONCURRENCY) as victim:
                _await(lambda: len(_ran(file.name)) >= count // 4, GIVE_UP_SECONDS)
                victim.send_signal(signal.SIGKILL)
                victim.wait()
            with (
                self.start("work", never, file.name, KILLED_CONCURRENCY),
                self.start("trickle", count, HIGH, 0),
            ):
                _await(lambda: len(_ran(file.name)) >= count, KILL_SECONDS)
            ran = _ran(file.name)
        return {"lost": count - len(ran), "ran_twice": sum(times - 1 for times in ran.values())}


def _figures(out: bytes) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads(out.splitlines()[-1])
    return figures


def _ran(file: str) -> Counter[str]:
    return Counter(line for line in Path(file).read_text().split() if line.startswith(f"{LOW}:"))


def _await(ask: Any, seconds: float) -> None:  # noqa: ANN401 - a question
    """Wait for it as long as that; those who ask look for themselves what came of it."""
    deadline = time.monotonic() + seconds
    while not ask() and time.monotonic() < deadline:
        time.sleep(0.1)


def measure(peer: Peer, server: Redis, asked: argparse.Namespace) -> dict[str, Any]:
    """Measure everything about one peer."""
    bench = Bench(peer, server)
    figures: dict[str, Any] = {"peer": peer.name}
    figures |= bench.throughput(asked.jobs)
    bench.empty()
    figures |= bench.latency(asked.trickle)
    figures |= bench.killed(asked.killed)
    if peer.priorities:
        figures |= bench.urgent(asked.low, asked.trickle)
    return figures


def main(argv: Sequence[str] | None = None) -> None:
    """Print one JSON object with everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=20_000, help="no-op jobs for throughput")
    parser.add_argument("--trickle", type=int, default=500, help="single jobs for latency")
    parser.add_argument("--low", type=int, default=1_000_000, help="low jobs that wait")
    parser.add_argument("--killed", type=int, default=1000, help="jobs for the kill")
    parser.add_argument("--only", nargs="*", help="peers")
    asked = parser.parse_args(argv)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(PROJECT), str(HERE / "peers")])
    found = []
    for peer in peers():
        if asked.only and peer.name not in asked.only:
            continue
        server = Redis()
        try:
            server.start()
            found.append(measure(peer, server, asked))
        finally:
            server.stop()
        sys.stderr.write(f"{found[-1]}\n")
    sys.stdout.write(
        json.dumps({"redis": "7, loopback, no persistence", "load": os.getloadavg(), "peers": found}) + "\n"
    )


if __name__ == "__main__":
    main()
