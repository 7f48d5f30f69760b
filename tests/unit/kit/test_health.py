"""Readiness and degraded state."""

from __future__ import annotations

from services.kit.observability.health import Health


async def test_readiness_lists_all_problems() -> None:
    health, problems = Health(), {"database": "unavailable"}

    async def database() -> str | None:
        return problems["database"]

    health.add("database", database)
    health.set_problem("relay", "relay is down")
    assert await health.readiness_problems() == {"database": "unavailable", "relay": "relay is down"}
    health.set_problem("relay", None)
    assert await health.readiness_problems() == {"database": "unavailable"}


async def test_shared_dependency_failure_degrades_without_losing_readiness() -> None:
    health, problem = Health(), ["not reached yet"]

    async def database() -> str | None:
        return problem[0] or None

    health.add("database", database, shared=True)
    assert await health.readiness_problems() == {"database": "not reached yet"}
    health._checked_at = float("-inf")
    problem[0] = ""
    assert await health.readiness_problems() == {}
    health._checked_at = float("-inf")
    problem[0] = "unavailable"
    assert await health.readiness_problems() == {}
    assert await health.degraded() == {"database": "unavailable"}
