"""Health checks: a process is ready when every check returns None instead of a problem.

A dependency that all replicas of a process share (one database) is treated differently: while it is down no
replica can do better, and taking all of them out of rotation turns some failed requests into all requests.
A shared check must pass once before the process is ready. A later failure is reported as `degraded`, and the
process stays in rotation.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from services.contracts import telemetry
from services.kit.observability.metrics import gauge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Check = Callable[[], Awaitable[str | None]]

DEPENDENCY_UP = gauge(telemetry.DEPENDENCY_UP)
CACHE_SECONDS = 1.0
"""Results younger than this are reused, so that several probes cost one round of checks."""


class Health:
    """The health checks of a process."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._shared: set[str] = set()
        self._passed_once: set[str] = set()
        self._problems: dict[str, str] = {}
        self._failed_checks: dict[str, str] = {}
        self._checked_at = float("-inf")
        self.is_stopping = False
        """Whether the process ends after the requests that it has: it must receive no further ones."""

    def add(self, name: str, check: Check, *, shared: bool = False) -> None:
        """Add a check.

        Args:
            name: name of the dependency.
            check: returns a problem or None, within about two seconds.
            shared: whether all replicas depend on the same instance.
        """
        self._checks[name] = check
        if shared:
            self._shared.add(name)

    def set_problem(self, name: str, problem: str | None) -> None:
        """Set or clear a problem; it takes effect at once.

        Args:
            name: name of the component.
            problem: description of the problem; None clears it.
        """
        if problem is None:
            self._problems.pop(name, None)
        else:
            self._problems[name] = problem

    async def readiness_problems(self) -> dict[str, str]:
        """Return the problems that make the process not ready, by name; empty when it is ready."""
        degraded = await self.degraded()
        problems = self._failed_checks | self._problems
        return {name: problem for name, problem in problems.items() if name not in degraded}

    async def degraded(self) -> dict[str, str]:
        """Return the problems of shared dependencies that passed before, by name."""
        if time.monotonic() - self._checked_at > CACHE_SECONDS:
            self._checked_at = time.monotonic()
            results = {name: await check() for name, check in self._checks.items()}
            for name, problem in results.items():
                DEPENDENCY_UP.labels(name).set(problem is None)
            self._passed_once |= {name for name, problem in results.items() if problem is None}
            self._failed_checks = {name: problem for name, problem in results.items() if problem}
        shared = self._shared & self._passed_once
        return {name: problem for name, problem in self._failed_checks.items() if name in shared}
