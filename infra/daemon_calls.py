"""Calls in threads that nobody must wait for: a server that hangs does not delay the end of the program."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

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
