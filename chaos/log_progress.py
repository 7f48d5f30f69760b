"""Progress in the log of Chaos Toolkit, for runs of the plain `chaos` command."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.progress import ProgressStep

log = logging.getLogger("chaostoolkit")


class LogProgress:
    """Logs the results of steps, and their statuses at the level DEBUG."""

    @contextmanager
    def step(self, name: str) -> Iterator[ProgressStep]:
        """Start a step."""
        yield _LogStep(name)


class _LogStep:
    def __init__(self, name: str) -> None:
        self._name = name

    def set_status(self, status: str) -> None:
        log.debug("%s: %s", self._name, status)

    def set_result(self, result: str) -> None:
        log.info("%s: %s", self._name, result)
