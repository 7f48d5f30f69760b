"""A thread that looks at something again and again as long as its block lasts."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

PERIOD_SECONDS = 0.5
_JOIN_SECONDS = 10.0


class Watcher:
    """Calls `look` regularly, until the block ends or `look` says that it has seen enough.

    Args:
        name: of the thread.
        look: returns whether to go on looking.
        period: seconds from one look to the next.
    """

    def __init__(self, name: str, look: Callable[[], bool], period: float = PERIOD_SECONDS) -> None:
        self._look = look
        self._period = period
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        """Begin to look."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop looking."""
        self._stop.set()
        self._thread.join(timeout=_JOIN_SECONDS)

    def _run(self) -> None:
        begun = time.monotonic()
        while self._look():
            if self._stop.wait(max(0.0, self._period - (time.monotonic() - begun))):
                return
            begun = time.monotonic()
