"""Generator processes, seen from the command: started, listened to, ended."""

from __future__ import annotations

import queue
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from infra.errors import EsqError
from loadtests.order import Line, Order, Progress, Told

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtests.order import Ground, Timetable

READY_SECONDS = 30.0
"""For all generators to be up; their timetable begins then."""
END_SECONDS = 120.0
"""After the timetable, for what is still open and for the result."""
TELL_SECONDS = 0.5


class GeneratorFailedError(EsqError):
    """A generator ended, or did not tell its result in time."""


class Generators:
    """So many generators that share a timetable, as long as the block lasts.

    Args:
        journey: which requests.
        timetable: when.
        ground: where.
        count: of processes.
        run: name of the run.
    """

    def __init__(self, journey: str, timetable: Timetable, ground: Ground, count: int, run: str) -> None:
        self.start = 0.0
        self._orders = [
            Order(
                journey=journey, timetable=timetable, ground=ground, start=0, part=part, parts=count, run=run
            )
            for part in range(count)
        ]
        self._seconds = timetable.seconds
        self._lines: queue.Queue[tuple[int, Line | None]] = queue.Queue()
        self._processes: list[subprocess.Popen[str]] = []
        self._listeners: list[threading.Thread] = []

    def __enter__(self) -> Self:
        """Start the processes."""
        self._errors = tempfile.TemporaryFile("w+")
        for part in range(len(self._orders)):
            process = subprocess.Popen(
                [sys.executable, "-m", "loadtests.generator"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
            )
            self._processes.append(process)
            listener = threading.Thread(target=self._listen, args=(part, process), daemon=True)
            listener.start()
            self._listeners.append(listener)
        return self

    def __exit__(self, *_: object) -> None:
        """End them, whether they are done or not."""
        for process, listener in zip(self._processes, self._listeners, strict=True):
            process.kill()
            listener.join()
            with suppress(BrokenPipeError):
                process.__exit__(None, None, None)
        self._errors.close()

    def run(self, told: Callable[[Progress], None]) -> list[Told]:
        """Run the timetable to its end.

        Args:
            told: is told about how far all of them are.

        Raises:
            GeneratorFailedError: one of them failed.
        """
        self._await_ready()
        self.start = time.monotonic() + TELL_SECONDS
        for process, order in zip(self._processes, self._orders, strict=True):
            self._say(process, order.model_copy(update={"start": self.start}))
        deadline = self.start + self._seconds + END_SECONDS
        progress = [Progress()] * len(self._orders)
        results: dict[int, Told] = {}
        while len(results) < len(self._orders):
            part, line = self._next(deadline)
            if line.told is not None:
                results[part] = line.told
            if line.progress is not None:
                progress[part] = line.progress
                told(_sum(progress))
        return [results[part] for part in sorted(results)]

    def _await_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        for _ in self._orders:
            self._next(deadline)

    def _say(self, process: subprocess.Popen[str], order: Order) -> None:
        if process.stdin is None:
            raise TypeError("the process was started with a pipe")
        try:
            process.stdin.write(order.model_dump_json())
            process.stdin.close()
        except BrokenPipeError as error:
            raise self._failed("it has ended") from error

    def _listen(self, part: int, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            self._lines.put((part, Line.model_validate_json(line)))
        self._lines.put((part, None))

    def _next(self, deadline: float) -> tuple[int, Line]:
        """Return the next line; the end of one that has told its result is passed over by who asks."""
        while True:
            try:
                part, line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise self._failed("it told nothing in time") from None
            if line is not None:
                return part, line
            if self._processes[part].wait(timeout=5):
                raise self._failed("it has ended")

    def _failed(self, why: str) -> GeneratorFailedError:
        self._errors.seek(0)
        return GeneratorFailedError(
            f"a load generator failed: {why}",
            location="loadtests.generator",
            remedy="Run it again; when it fails again, what it said is below.",
            detail=self._errors.read()[-2000:],
        )


def _sum(parts: list[Progress]) -> Progress:
    return Progress(
        due=sum(each.due for each in parts),
        open=sum(each.open for each in parts),
        done=sum(each.done for each in parts),
        failed=sum(each.failed for each in parts),
    )
