"""Reads that run at the same time, each once, and fail alone: at the deadline, what is not read is missing.

A server that hangs costs the deadline once, not once per reader: everybody waits for the same reading.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Any, TypeVar

from infra.daemon_calls import start
from infra.errors import EsqError
from runbooks.check import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

T = TypeVar("T")


class ParallelReads:
    """Readings of one moment.

    Args:
        deadline_seconds: time after which nothing is waited for, from now.
        clock: monotonic time in seconds.
    """

    def __init__(self, deadline_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = deadline_seconds
        self._clock = clock
        self._deadline = clock() + deadline_seconds
        self._lock = threading.Lock()
        self._futures: dict[str, Future[Any]] = {}

    def prefetch(self, name: str, function: Callable[[], object]) -> None:
        """Start a read without waiting for it.

        Args:
            name: name of the reading; a second read of the same name is not started.
            function: reads it, with timeouts of its own.
        """
        with self._lock:
            if name not in self._futures:
                self._futures[name] = start(function)

    def get(self, name: str, function: Callable[[], T]) -> T:
        """Return a reading; the first caller starts it.

        Args:
            name: name of the reading.
            function: reads it, with timeouts of its own.

        Raises:
            UnavailableError: it failed, or is not complete at the deadline.
        """
        self.prefetch(name, function)
        try:
            value: T = self._futures[name].result(max(0.0, self._deadline - self._clock()))
        except FutureTimeoutError as error:
            raise UnavailableError(f"no answer within {self._seconds:g} s", location=name) from error
        except UnavailableError:
            raise
        except EsqError as error:
            raise UnavailableError(
                error.message, location=error.location or name, remedy=error.remedy, detail=error.detail
            ) from error
        return value
