"""A reading that several panels use: the source is read once per interval for all of them."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Generic, TypeVar

from infra.errors import EsqError

if TYPE_CHECKING:
    from collections.abc import Callable

Value = TypeVar("Value")


class SharedReading(Generic[Value]):
    """The last result of a function, or its error. Thread-safe; callers wait for the one that reads.

    Args:
        read: the function.
        interval_seconds: time for which its result or error is used.
        clock: monotonic time in seconds.
    """

    def __init__(
        self, read: Callable[[], Value], interval_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._read_at: float | None = None
        self._outcome: tuple[Value | None, EsqError | None] = (None, None)

    def __call__(self) -> Value:
        """Return the result.

        Raises:
            EsqError: the function failed, in this call or within the interval.
        """
        with self._lock:
            if self._read_at is None or self._clock() - self._read_at >= self._interval_seconds:
                self._outcome = self._attempt()
                # Its end counts: whoever waited for a slow failure must not repeat it.
                self._read_at = self._clock()
            value, error = self._outcome
        if error is not None:
            raise error
        return value  # type: ignore[return-value]  # set whenever there is no error

    def _attempt(self) -> tuple[Value | None, EsqError | None]:
        try:
            return self._read(), None
        except EsqError as error:
            return None, error


class FirstSuccess(Generic[Value]):
    """The result of the first call of a function that succeeds. Thread-safe.

    Args:
        function: the function; called again after each failure.
    """

    def __init__(self, function: Callable[[], Value]) -> None:
        self._function = function
        self._lock = threading.Lock()
        self._results: list[Value] = []

    def __call__(self) -> Value:
        """Return the result."""
        with self._lock:
            if not self._results:
                self._results.append(self._function())
            return self._results[0]
