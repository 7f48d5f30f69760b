"""Traffic as a run uses it, wherever its clients run; several traffics as one."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from chaos.error_rate import Attempts


class RunningTraffic(Protocol):
    """Context manager that runs traffic clients."""

    @property
    def clients(self) -> Sequence[str]:
        """Names of the clients."""
        ...

    def __enter__(self) -> Self:
        """Start the clients, and return when each has reached its service."""
        ...

    def __exit__(self, *_: object) -> None:
        """Stop the clients, with or without a result."""
        ...

    @property
    def silence(self) -> dict[str, float]:
        """Seconds since the last acknowledgement of each stream."""
        ...

    @property
    def attempts(self) -> dict[str, Attempts]:
        """Attempts of each stream since the start; none of streams without own attempts."""
        ...

    @property
    def failure(self) -> str:
        """Reason why nothing is measured; empty while the clients run, and after they were stopped."""
        ...

    def use_token_key(self, key: str) -> None:
        """Sign the bearer tokens of new attempts with this key."""
        ...

    def result(self, *, reads_stored: bool = True) -> dict[str, Any]:
        """Stop the clients, and return the logs of all streams, the stored writes and problems."""
        ...


class CombinedTraffic:
    """Clients that run at several places.

    Args:
        parts: the traffic of each place, with different clients.
    """

    def __init__(self, parts: Sequence[RunningTraffic]) -> None:
        self._parts = parts
        self._stack = ExitStack()
        self.clients = tuple(client for part in parts for client in part.clients)

    def __enter__(self) -> Self:
        """See `RunningTraffic.__enter__`."""
        with ExitStack() as stack:
            for part in self._parts:
                stack.enter_context(part)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """See `RunningTraffic.__exit__`."""
        self._stack.close()

    @property
    def silence(self) -> dict[str, float]:
        """See `RunningTraffic.silence`."""
        return {stream: seconds for part in self._parts for stream, seconds in part.silence.items()}

    @property
    def attempts(self) -> dict[str, Attempts]:
        """See `RunningTraffic.attempts`."""
        return {stream: counts for part in self._parts for stream, counts in part.attempts.items()}

    @property
    def failure(self) -> str:
        """See `RunningTraffic.failure`: that of the first part that has one."""
        return next((part.failure for part in self._parts if part.failure), "")

    def use_token_key(self, key: str) -> None:
        """See `RunningTraffic.use_token_key`."""
        for part in self._parts:
            part.use_token_key(key)

    def result(self, *, reads_stored: bool = True) -> dict[str, Any]:
        """See `RunningTraffic.result`."""
        combined: dict[str, Any] = {"streams": {}, "stored": {}, "problems": []}
        for result in [part.result(reads_stored=reads_stored) for part in self._parts]:
            combined["streams"] |= result["streams"]
            combined["stored"] |= result["stored"]
            combined["problems"] += result["problems"]
        return combined
