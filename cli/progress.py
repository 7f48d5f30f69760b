"""Shows steps to a person: one live line on a terminal, plain lines in a log.

Everything goes to standard error, so that standard output holds the result alone.
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

QUIET_SECONDS = 15.0
"""Where lines cannot be rewritten, a step says at most this often what it waits for."""

_SHOWN = 3
"""Open steps shown at once: the innermost are the news."""


@dataclass
class Line:
    """An open step, as it is shown."""

    name: str
    depth: int
    begun: float
    show: Callable[[Line], None]
    waits: str = ""
    result: str = ""
    said: float = field(default=0.0)

    def set_status(self, status: str) -> None:
        """Show what the step waits for now."""
        if status != self.waits:
            self.waits = status
            self.show(self)

    def set_result(self, result: str) -> None:
        """Remember the result; it is shown when the step closes."""
        self.result = result


class RichSteps:
    """Steps for people. Steps may be nested; inner ones are indented and shown when they took a while."""

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._clock = clock
        self._open: list[Line] = []
        self._spinner = Spinner("dots")
        self._lock = threading.RLock()
        self._live: Live | None = None

    @contextmanager
    def step(self, name: str) -> Iterator[Line]:
        """Open the step called `name`."""
        line = Line(name, len(self._open), self._clock(), self._say)
        self._begin(line)
        try:
            yield line
        except KeyboardInterrupt:
            self._end(line, "[yellow]■[/]", "interrupted")
            raise
        except BaseException:
            self._end(line, "[red]✗[/]", "failed")
            raise
        self._end(line, "[green]✓[/]", line.result)

    def _begin(self, line: Line) -> None:
        with self._lock:
            self._open.append(line)
            if not self._console.is_terminal:
                line.said = self._clock()
            elif self._live is None:
                self._live = Live(self, console=self._console, refresh_per_second=8, transient=True)
                self._live.start()

    def _end(self, line: Line, mark: str, result: str) -> None:
        seconds = self._clock() - line.begun
        with self._lock:
            self._open.remove(line)
            if not self._open and self._live is not None:
                self._live.stop()
                self._live = None
            indent = "  " * line.depth
            told = f"  [dim]{escape(result)}[/]" if result else ""
            self._console.print(f"{indent}{mark} {escape(line.name)}  [dim]{seconds:.1f} s[/]{told}")

    def _say(self, line: Line) -> None:
        if self._console.is_terminal:
            return  # the live line shows it at its next refresh
        now = self._clock()
        if now - line.said >= QUIET_SECONDS:
            line.said = now
            self._console.print(f"{'  ' * line.depth}… {escape(line.name)}: {escape(line.waits)}")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the open steps: spinner, name, elapsed seconds, what it waits for."""
        with self._lock:
            lines = self._open[-_SHOWN:]
        grid = Table.grid(padding=(0, 1))
        for line in lines:
            spinner = self._spinner.render(console.get_time())
            text = Text(f"{'  ' * line.depth}{line.name}", no_wrap=True)
            seconds = Text(f"{self._clock() - line.begun:.0f} s", style="dim")
            width = max(10, options.max_width - len(text) - 14)
            grid.add_row(spinner, text, seconds, Text(line.waits[:width], style="cyan", no_wrap=True))
        yield grid
