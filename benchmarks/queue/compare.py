"""The Redis queue compared with BullMQ, arq, taskiq and dramatiq, each on a new Redis server on loopback.

Each contender is one worker process at the same concurrency; Redis is flushed between measurements.
- throughput: no-op jobs that are enqueued already, from the first start to the last end; and the enqueue
  rate;
- memory: growth of Redis per waiting job, including its arguments (16 to 40 bytes);
- latency: one job every 10 ms to an idle worker, from the instant it was due until it starts;
- high priority: the same with priority 0, while a million low-priority jobs (10 ms each) are processed;
- killed: jobs of 20 ms; the worker is killed with -9 and another one started, while a trickle of other jobs
  continues. A job that has not run half a minute later is lost. Contenders detect a dead worker after 2 s,
  where that is configurable.
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

from tests.servers.redis import Redis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

FOLDER = Path(__file__).parent
PROJECT = FOLDER.parents[1]
LOW, HIGH = 3, 0
CONCURRENCY = 200
"""Of the no-op jobs; dramatiq uses its maximum, 16 threads."""
KILLED_CONCURRENCY = 20
START_TIMEOUT_SECONDS = 60.0
LOST_AFTER_SECONDS = 30.0
POLL_INTERVAL_SECONDS = 0.1
ENDLESS = 10**9


@dataclass(frozen=True)
class Contender:
    """A queue to measure.

    Attributes:
        name: name in the results.
        command: command of its program.
        has_priorities: whether its waiting jobs have priorities.
    """

    name: str
    command: tuple[str, ...]
    has_priorities: bool


def contenders() -> list[Contender]:
    """Create the environments of all contenders and return them."""
    python, arq_python, folder = _environment("benchmarks"), _environment("benchmarks-arq"), FOLDER / "peers"
    subprocess.run(
        ["npm", "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=FOLDER, check=True
    )
    return [
        Contender("esq", (sys.executable, str(folder / "esq_peer.py")), has_priorities=True),
        Contender("bullmq", ("node", str(folder / "bullmq.mjs")), has_priorities=True),
        Contender("arq", (arq_python, str(folder / "arq_peer.py")), has_priorities=False),
        Contender("taskiq", (python, str(folder / "taskiq_peer.py")), has_priorities=False),
        Contender("dramatiq", (python, str(folder / "dramatiq_peer.py")), has_priorities=False),
    ]


def _environment(name: str) -> str:
    """Return the interpreter of a virtual environment, created once per lock file."""
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


class BenchmarkRun:
    """Measurements of one contender on one server."""

    def __init__(self, contender: Contender, server: Redis) -> None:
        self.contender = contender
        self._server = server

    def run(self, verb: str, *args: object) -> dict[str, Any]:
        """Run the contender's program to its end.

        Args:
            verb: `fill` or `work`.
            args: further arguments, see `peers/peer.py`.

        Returns:
            The result that it printed.

        Raises:
            RuntimeError: the program exited with an error.
        """
        with self.start(verb, *args) as process:
            out, _ = process.communicate(timeout=600)
        if process.returncode:
            raise RuntimeError(f"{self.contender.name} {verb} {args} exited with {process.returncode}")
        return _result(out)

    @contextmanager
    def start(self, verb: str, *args: object) -> Iterator[subprocess.Popen[bytes]]:
        """Start the contender's program, and kill it at the end of the block.

        Args:
            verb: `trickle` or `work`.
            args: further arguments, see `peers/peer.py`.

        Yields:
            The process.
        """
        process = subprocess.Popen(
            [*self.contender.command, verb, str(self._server.port), *map(str, args)], stdout=subprocess.PIPE
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def memory(self) -> int:
        """Return the bytes of memory that the server uses."""
        return int(self._server.execute("info", "memory").split("used_memory:")[1].split()[0])

    def flush(self) -> None:
        """Delete all data of the server."""
        self._server.execute("flushall")

    def throughput(self, count: int) -> dict[str, float]:
        """Measure throughput and memory with `count` jobs."""
        self.flush()
        before = self.memory()
        filled = self.run("fill", count, HIGH, 0)
        growth = self.memory() - before
        worked = self.run("work", count, "-", CONCURRENCY)
        return {
            "enqueued_per_second": round(count / filled["seconds"]),
            "run_per_second": round(count / worked["seconds"]),
            "bytes_per_job": round(growth / count),
        }

    def latency(self, count: int, name: str = "latency") -> dict[str, float]:
        """Measure the start latency of single jobs.

        Args:
            count: number of jobs.
            name: prefix of the keys in the result.

        Returns:
            Median and 99th percentile in milliseconds by key.
        """
        with self.start("work", count, "-", KILLED_CONCURRENCY) as worker:
            time.sleep(2.0)
            with self.start("trickle", count, HIGH, 0):
                out, _ = worker.communicate(timeout=START_TIMEOUT_SECONDS + count / 100)
        result = _result(out)
        return {f"{name}_p50_ms": round(result["p50_ms"], 1), f"{name}_p99_ms": round(result["p99_ms"], 1)}

    def high_priority(self, low_priority_count: int, count: int) -> dict[str, float]:
        """Measure the start latency of high-priority jobs behind many low-priority jobs.

        Args:
            low_priority_count: number of low-priority jobs.
            count: number of high-priority jobs.

        Returns:
            Median and 99th percentile in milliseconds by key.
        """
        self.flush()
        self.run("fill", low_priority_count, LOW, 10)
        return self.latency(count, "high_priority")

    def killed(self, count: int) -> dict[str, int]:
        """Kill a running worker, and count lost jobs and jobs that ran twice."""
        self.flush()
        self.run("fill", count, LOW, 20)
        with tempfile.NamedTemporaryFile() as file:
            with self.start("work", ENDLESS, file.name, KILLED_CONCURRENCY) as victim:
                _wait_for(lambda: len(_completed(file.name)) >= count // 4, START_TIMEOUT_SECONDS)
                victim.send_signal(signal.SIGKILL)
                victim.wait()
            with (
                self.start("work", ENDLESS, file.name, KILLED_CONCURRENCY),
                self.start("trickle", count, HIGH, 0),
            ):
                _wait_for(lambda: len(_completed(file.name)) >= count, LOST_AFTER_SECONDS)
            completed = _completed(file.name)
        return {"lost": count - len(completed), "ran_twice": sum(runs - 1 for runs in completed.values())}


def _result(stdout: bytes) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(stdout.splitlines()[-1])
    return result


def _completed(file: str) -> Counter[str]:
    """Return how often each low-priority job has run."""
    return Counter(line for line in Path(file).read_text().split() if line.startswith(f"{LOW}:"))


def _wait_for(condition: Callable[[], bool], seconds: float) -> None:
    """Return when the condition is true or the time is over; the caller checks the result."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(POLL_INTERVAL_SECONDS)


def measure(contender: Contender, server: Redis, args: argparse.Namespace) -> dict[str, Any]:
    """Run all measurements of one contender.

    Args:
        contender: the queue to measure.
        server: an empty Redis server.
        args: numbers of jobs.

    Returns:
        The results by name.
    """
    run = BenchmarkRun(contender, server)
    results: dict[str, Any] = {"contender": contender.name}
    results |= run.throughput(args.jobs)
    run.flush()
    results |= run.latency(args.trickle)
    results |= run.killed(args.killed)
    if contender.has_priorities:
        results |= run.high_priority(args.low, args.trickle)
    return results


def main(argv: Sequence[str] | None = None) -> None:
    """Print the results of all contenders as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=20_000, help="no-op jobs for throughput")
    parser.add_argument("--trickle", type=int, default=500, help="single jobs for latency")
    parser.add_argument("--low", type=int, default=1_000_000, help="waiting low-priority jobs")
    parser.add_argument("--killed", type=int, default=1000, help="jobs for the kill")
    parser.add_argument("--only", nargs="*", help="names of contenders")
    args = parser.parse_args(argv)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(PROJECT), str(FOLDER / "peers")])
    results = []
    for contender in contenders():
        if args.only and contender.name not in args.only:
            continue
        server = Redis()
        try:
            server.start()
            results.append(measure(contender, server, args))
        finally:
            server.stop()
        sys.stderr.write(f"{results[-1]}\n")
    report = {"redis": "7, loopback, no persistence", "load": os.getloadavg(), "contenders": results}
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
