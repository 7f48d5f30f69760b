"""The guard: aborts a run whose clients wait or fail for too long, and refuses faults without a signal.

It fails closed. A stream that is not reported, a report that is old and a dead traffic process are reasons
to abort like a stream that exceeds its limit: nobody would see what the fault does.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from chaos.error_rate import ErrorRate
from infra.errors import EsqError
from infra.measurements.poller import PollingThread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from chaos.error_rate import Attempts

FRESH_SECONDS = 2.0
"""Before the first fault, every stream has been acknowledged within this time."""
_POLL_INTERVAL_SECONDS = 0.25
OPERATIONS = ("read", "write")


class NoSignalError(EsqError):
    """The traffic does not show the state of the target, so nothing may be injected."""


class Signal(Protocol):
    """What the traffic reports."""

    @property
    def silence(self) -> Mapping[str, float]:
        """Seconds since the last acknowledgement of each stream."""

    @property
    def attempts(self) -> Mapping[str, Attempts]:
        """Attempts of each stream since the start; none of streams without own attempts."""

    @property
    def failure(self) -> str:
        """Reason why nothing is measured; empty while the clients run."""


def stream_names(clients: Iterable[str]) -> list[str]:
    """Return the streams of clients; a stream may have parts, for example `kafka.write.0`."""
    return [f"{client}.{operation}" for client in clients for operation in OPERATIONS]


def find_limit(stream: str, limits: Mapping[str, float]) -> float | None:
    """Return the limit of a stream: the most specific name counts; None if none matches.

    Args:
        stream: name of the stream, for example `kafka.write.0`.
        limits: maximum seconds by client, stream or part of a stream, for example `kafka` or `kafka.write`.
    """
    name = stream
    while name:
        if name in limits:
            return limits[name]
        name = name.rpartition(".")[0]
    return None


def exceeded_limit(silence: Mapping[str, float], limits: Mapping[str, float]) -> str:
    """Return a message about the first stream that exceeds its limit; empty if none does.

    Args:
        silence: seconds since the last acknowledgement of each stream.
        limits: see `find_limit`.
    """
    for stream, seconds in silence.items():
        limit = find_limit(stream, limits)
        if limit is not None and seconds > limit:
            return f"{stream} had no acknowledgement for {seconds:.0f} s; the limit is {limit:g} s"
    return ""


class Guard(PollingThread):
    """Context manager that aborts the run when the signal is missing or shows an exceeded limit.

    Args:
        signal: the traffic.
        streams: streams that must be reported.
        limits: see `find_limit`.
        abort: called with the reason, at most once.
    """

    def __init__(
        self,
        signal: Signal,
        streams: Iterable[str],
        limits: Mapping[str, float],
        abort: Callable[[str], None],
    ) -> None:
        super().__init__("guard", self._poll_signal)
        self._signal = signal
        self._streams = list(streams)
        self._limits = limits
        self._abort = abort
        self._error_rate = ErrorRate()

    def find_reason(self) -> str:
        """Return why the run must not go on; empty if it may."""
        return self._missing_signal() or exceeded_limit(self._signal.silence, self._limits)

    def wait_for_signal(self, timeout: float) -> None:
        """Wait until every stream was acknowledged just now.

        Args:
            timeout: timeout in seconds.

        Raises:
            NoSignalError: a stream is silent since its start, or the traffic reports nothing.
        """
        deadline = time.monotonic() + timeout
        while reason := self._missing_signal() or exceeded_limit(
            self._signal.silence, dict.fromkeys(self._streams, FRESH_SECONDS)
        ):
            if time.monotonic() > deadline:
                raise NoSignalError(
                    f"nothing was injected: {reason}",
                    location="traffic",
                    remedy="See `esq status ENV`: every watched service must respond before a fault.",
                )
            time.sleep(_POLL_INTERVAL_SECONDS)

    def _missing_signal(self) -> str:
        if failure := self._signal.failure:
            return failure
        reported = tuple(self._signal.silence)
        missing = [name for name in self._streams if not any(_is_part(key, name) for key in reported)]
        return f"the traffic does not report {', '.join(missing)}" if missing else ""

    def _poll_signal(self) -> bool:
        try:
            reason = self.find_reason() or self._find_errors()
        except Exception as error:  # noqa: BLE001 - a guard that fails must not let the run go on
            reason = f"the guard failed: {error!r}"
        if reason:
            self._abort(reason)
        return not reason

    def _find_errors(self) -> str:
        """Return which stream has too many errors; empty if none has. Called by the thread only."""
        attempts = self._signal.attempts
        limits = {stream: find_limit(stream, self._limits) for stream in attempts}
        limited = {stream: limit for stream, limit in limits.items() if limit is not None}
        counted = {stream: attempts[stream] for stream in limited}
        return self._error_rate.find_excess(counted, limited, time.monotonic())


def _is_part(key: str, stream: str) -> bool:
    return key == stream or key.startswith(f"{stream}.")
