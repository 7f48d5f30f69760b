"""Progress for people: a live display on a terminal, plain lines in a log.

Everything goes to standard error; standard output holds the result only.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import ConsoleOptions, RenderResult

LOG_INTERVAL_SECONDS = 15.0
"""Minimum interval between status lines of one step in a log."""

_MAX_SHOWN = 3
"""Open steps shown at once; the innermost ones matter most."""


@dataclass
class StepLine:
    """An open step and its line.

    Attributes:
        name: name of the step.
        depth: number of enclosing steps.
        started: start time on the reporter's clock, in seconds.
        on_change: called when the status changes.
        status: current status of the step.
        result: text that is shown when the step ends.
        last_printed: time of the last status line in a log, in seconds.
    """

    name: str
    depth: int
    started: float
    on_change: Callable[[StepLine], None]
    status: str = ""
    result: str = ""
    last_printed: float = field(default=0.0)

    def set_status(self, status: str) -> None:
        """Set the status, e.g. what the step waits for, and show it."""
        if status != self.status:
            self.status = status
            self.on_change(self)

    def set_result(self, result: str) -> None:
        """Set the result that is shown when the step ends."""
        self.result = result


class RichProgress:
    """A progress reporter for people. Steps nest; inner steps are indented."""

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """Create a reporter.

        Args:
            console: console to write to; standard error by default.
            clock: monotonic time in seconds.
        """
        self._console = console or Console(stderr=True, highlight=False)
        self._clock = clock
        self._open_lines: list[StepLine] = []
        self._spinner = Spinner("dots")
        self._lock = threading.RLock()
        self._live: Live | None = None

    @contextmanager
    def step(self, name: str) -> Iterator[StepLine]:
        """Open a step with this name."""
        line = StepLine(name, len(self._open_lines), self._clock(), self._print_status)
        self._start(line)
        try:
            yield line
        except KeyboardInterrupt:
            self._end(line, "[yellow]■[/]", "interrupted")
            raise
        except BaseException:
            self._end(line, "[red]✗[/]", "failed")
            raise
        self._end(line, "[green]✓[/]", line.result)

    def _start(self, line: StepLine) -> None:
        with self._lock:
            self._open_lines.append(line)
            if not self._console.is_terminal:
                line.last_printed = self._clock()
            elif self._live is None:
                self._live = Live(self, console=self._console, refresh_per_second=8, transient=True)
                self._live.start()

    def _end(self, line: StepLine, symbol: str, result: str) -> None:
        seconds = self._clock() - line.started
        with self._lock:
            self._open_lines.remove(line)
            if not self._open_lines and self._live is not None:
                self._live.stop()
                self._live = None
            indent = "  " * line.depth
            suffix = f"  [dim]{escape(result)}[/]" if result else ""
            self._console.print(f"{indent}{symbol} {escape(line.name)}  [dim]{seconds:.1f} s[/]{suffix}")

    def _print_status(self, line: StepLine) -> None:
        if self._console.is_terminal:
            return  # the live display shows it at its next refresh
        now = self._clock()
        if now - line.last_printed >= LOG_INTERVAL_SECONDS:
            line.last_printed = now
            self._console.print(f"{'  ' * line.depth}… {escape(line.name)}: {escape(line.status)}")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render the open steps: spinner, name, elapsed seconds, status."""
        with self._lock:
            lines = self._open_lines[-_MAX_SHOWN:]
        grid = Table.grid(padding=(0, 1))
        for line in lines:
            spinner = self._spinner.render(console.get_time())
            text = Text(f"{'  ' * line.depth}{line.name}", no_wrap=True)
            seconds = Text(f"{self._clock() - line.started:.0f} s", style="dim")
            width = max(10, options.max_width - len(text) - 14)
            grid.add_row(spinner, text, seconds, Text(line.status[:width], style="cyan", no_wrap=True))
        yield grid
