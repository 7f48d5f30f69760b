"""Health: a process is ready when every check returns None instead of a reason.

What all replicas of a process share (one database) is another matter: while it is away none of them can do
better, and taking all out of rotation would turn some failed requests into all of them. So a shared check
must succeed once before the process is ready; afterwards its reason is told, and the process stays.
"""

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
        self._shared: set[str] = set()
        self._reached: set[str] = set()
        self._troubles: dict[str, str] = {}
        self._answer: dict[str, str] = {}
        self._asked = float("-inf")

    def add(self, name: str, check: Check, *, shared: bool = False) -> None:
        """Ask this too.

        Args:
            name: of what is asked.
            check: returns a reason or None, in about two seconds at most.
            shared: whether the other replicas would meet the same trouble.
        """
        self._checks[name] = check
        if shared:
            self._shared.add(name)

    def trouble(self, name: str, reason: str | None) -> None:
        """State or take back a reason for not being ready, at once."""
        if reason is None:
            self._troubles.pop(name, None)
        else:
            self._troubles[name] = reason

    async def reasons(self) -> dict[str, str]:
        """Return why the process should not be given work, by name; empty when it should."""
        degraded = await self.degraded()
        return {name: why for name, why in (self._answer | self._troubles).items() if name not in degraded}

    async def degraded(self) -> dict[str, str]:
        """Return what the process lacks as all of its replicas do, by name."""
        if time.monotonic() - self._asked > FRESH_SECONDS:
            self._asked = time.monotonic()
            answers = {name: await check() for name, check in self._checks.items()}
            self._reached |= {name for name, reason in answers.items() if reason is None}
            self._answer = {name: reason for name, reason in answers.items() if reason}
        known = self._shared & self._reached
        return {name: why for name, why in self._answer.items() if name in known}
