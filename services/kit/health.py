"""Health: a process is ready when every check returns None instead of a reason."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Check = Callable[[], Awaitable[str | None]]

FRESH_SECONDS = 1.0
"""Answers younger than this are given again: several probes cost one look."""


class Health:
    """What a process needs in order to work, asked in turn."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._troubles: dict[str, str] = {}
        self._answer: dict[str, str] = {}
        self._asked = float("-inf")

    def add(self, name: str, check: Check) -> None:
        """Ask this too; it returns a reason or None, in about two seconds at most."""
        self._checks[name] = check

    def trouble(self, name: str, reason: str | None) -> None:
        """State or take back a reason for not being ready, at once."""
        if reason is None:
            self._troubles.pop(name, None)
        else:
            self._troubles[name] = reason

    async def reasons(self) -> dict[str, str]:
        """Return why the process cannot do its work, by name; empty when it can."""
        if time.monotonic() - self._asked > FRESH_SECONDS:
            self._asked = time.monotonic()
            answers = {name: await check() for name, check in self._checks.items()}
            self._answer = {name: reason for name, reason in answers.items() if reason}
        return self._answer | self._troubles
