"""A thread that calls a function periodically."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

POLL_INTERVAL_SECONDS = 0.5
_JOIN_TIMEOUT_SECONDS = 10.0


class PollingThread:
    """Context manager that calls `poll` periodically until the context ends or `poll` returns False.

    Args:
        name: name of the thread.
        poll: function to call; returns whether to continue.
        interval: seconds between the starts of two calls.
    """

    def __init__(self, name: str, poll: Callable[[], bool], interval: float = POLL_INTERVAL_SECONDS) -> None:
        self._poll = poll
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the thread."""
        self._stop.set()
        self._thread.join(timeout=_JOIN_TIMEOUT_SECONDS)

    def _run(self) -> None:
        started = time.monotonic()
        while self._poll():
            if self._stop.wait(max(0.0, self._interval - (time.monotonic() - started))):
                return
            started = time.monotonic()
