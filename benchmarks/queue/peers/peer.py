"""What every Python peer of the benchmark shares: the command line, and the counting of what was run.

`PEER fill PORT COUNT PRIORITY MS` puts COUNT jobs in as fast as the peer can;
`PEER trickle PORT COUNT PRIORITY MS` puts one in each 10 ms, on a timetable;
`PEER work PORT COUNT FILE CONCURRENCY` runs jobs until it has run COUNT of priority 0.
Each prints one line of JSON. A job carries when it was sent, how many milliseconds it takes, its priority and
its number. FILE, unless `-`, is given priority and number of each job that was run.

The standard library only: peers run in an environment of their own.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass, field

TRICKLE_SECONDS = 0.01


@dataclass
class Orders:
    """What the command line asked for."""

    verb: str
    port: int
    count: int
    priority: int = 0
    milliseconds: float = 0.0
    file: str = "-"
    concurrency: int = 100

    @property
    def url(self) -> str:
        """Address of the server."""
        return f"redis://127.0.0.1:{self.port}/0"


def orders() -> Orders:
    """Read the command line."""
    verb, port, count, *rest = sys.argv[1:]
    if verb == "work":
        return Orders(verb, int(port), int(count), file=rest[0], concurrency=int(rest[1]))
    return Orders(verb, int(port), int(count), int(rest[0]), float(rest[1]))


@dataclass
class Tally:
    """Counts what was run; when that is enough, tells and ends the process."""

    count: int
    file: str
    waits: list[float] = field(default_factory=list)
    began: float = 0.0
    ran_in_all: int = 0

    def __post_init__(self) -> None:
        self._out = -1 if self.file == "-" else os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def ran(self, sent: float, priority: int, number: int, started: float) -> None:
        """Count a job that has ended."""
        self.began = self.began or started
        self.ran_in_all += 1
        if self._out >= 0:
            os.write(self._out, f"{priority}:{number}\n".encode())
        if priority == 0:
            self.waits.append(started - sent)
            if len(self.waits) >= self.count:
                self.tell()

    def tell(self) -> None:
        """Print what was measured and end the process at once, whatever else it still wants."""
        waits, seconds = sorted(self.waits), time.time() - self.began
        figures = {
            "jobs": self.ran_in_all,
            "seconds": seconds,
            "p50_ms": waits[len(waits) // 2] * 1000,
            "p99_ms": waits[min(len(waits) - 1, len(waits) * 99 // 100)] * 1000,
        }
        sys.stdout.write(json.dumps(figures) + "\n")
        sys.stdout.flush()
        os._exit(0)


def told(seconds: float) -> None:
    """Print how long filling took."""
    sys.stdout.write(json.dumps({"seconds": seconds}) + "\n")


def timetable(count: int) -> list[float]:
    """Return when each job of a trickle is due, on `time.time`: a late one does not shift the others."""
    now = time.time()
    return [now + place * TRICKLE_SECONDS for place in range(count)]
