"""Calls in threads that nobody must wait for: a server that hangs does not delay the end of the program."""

from __future__ import annotations

import threading
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

P = ParamSpec("P")
T = TypeVar("T")


def start(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
    """Call a function in a thread of its own, which ends with the program at the latest.

    Args:
        function: the function; its calls must have timeouts, since nothing ends the thread.
        args: its arguments.
        kwargs: its named arguments.

    Returns:
        The future of its result.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - the future carries it to the caller
            future.set_exception(error)

    threading.Thread(target=run, name=getattr(function, "__name__", "call"), daemon=True).start()
    return future


def call_all(functions: Mapping[str, Callable[[], T]], timeout_seconds: float) -> dict[str, Future[T]]:
    """Call functions at the same time, and wait for them.

    Args:
        functions: the functions by name.
        timeout_seconds: time after which none is waited for.

    Returns:
        The futures of their results by name; one that is not done has not answered in time.
    """
    calls = {name: start(function) for name, function in functions.items()}
    wait(calls.values(), timeout_seconds)
    return calls
