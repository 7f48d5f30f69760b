"""Shared by the Python peers of the benchmark: command line, and recording of the jobs that ran.

`PEER fill PORT COUNT PRIORITY MS` enqueues COUNT jobs as fast as possible;
`PEER trickle PORT COUNT PRIORITY MS` enqueues one job every 10 ms, open loop;
`PEER work PORT COUNT FILE CONCURRENCY` runs jobs until COUNT jobs of priority 0 have run.
Each prints one line of JSON. A job contains its send time, its duration in milliseconds, its priority and its
number. Priority and number of each job that ran are appended to FILE, unless it is `-`.

Standard library only: peers run in separate environments.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass, field

TRICKLE_INTERVAL_SECONDS = 0.01


@dataclass
class BenchmarkArgs:
    """Command-line arguments."""

    verb: str
    port: int
    count: int
    priority: int = 0
    milliseconds: float = 0.0
    file: str = "-"
    concurrency: int = 100

    @property
    def url(self) -> str:
        """URL of the server."""
        return f"redis://127.0.0.1:{self.port}/0"


def parse_args() -> BenchmarkArgs:
    """Parse the command line."""
    verb, port, count, *optional_args = sys.argv[1:]
    if verb == "work":
        return BenchmarkArgs(
            verb, int(port), int(count), file=optional_args[0], concurrency=int(optional_args[1])
        )
    return BenchmarkArgs(verb, int(port), int(count), int(optional_args[0]), float(optional_args[1]))


@dataclass
class ResultRecorder:
    """Records jobs that ran. After `count` jobs of priority 0 it prints the result and exits the process."""

    count: int
    file: str
    waits: list[float] = field(default_factory=list)
    started_at: float = 0.0
    total: int = 0

    def __post_init__(self) -> None:
        self._file_descriptor = (
            -1 if self.file == "-" else os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        )

    def record(self, sent_at: float, priority: int, number: int, started_at: float) -> None:
        """Record a finished job.

        Args:
            sent_at: send time of the job, `time.time`.
            priority: priority of the job.
            number: number of the job.
            started_at: time at which it started, `time.time`.
        """
        self.started_at = self.started_at or started_at
        self.total += 1
        if self._file_descriptor >= 0:
            os.write(self._file_descriptor, f"{priority}:{number}\n".encode())
        if priority == 0:
            self.waits.append(started_at - sent_at)
            if len(self.waits) >= self.count:
                self.print_and_exit()

    def print_and_exit(self) -> None:
        """Print the result and exit immediately, without cleanup."""
        waits, seconds = sorted(self.waits), time.time() - self.started_at
        result = {
            "jobs": self.total,
            "seconds": seconds,
            "p50_ms": waits[len(waits) // 2] * 1000,
            "p99_ms": waits[min(len(waits) - 1, len(waits) * 99 // 100)] * 1000,
        }
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()
        os._exit(0)


def print_fill_time(seconds: float) -> None:
    """Print the duration of a fill."""
    sys.stdout.write(json.dumps({"seconds": seconds}) + "\n")


def trickle_times(count: int) -> list[float]:
    """Return when each job of a trickle is due, on `time.time`: a late job does not delay the others."""
    now = time.time()
    return [now + index * TRICKLE_INTERVAL_SECONDS for index in range(count)]
