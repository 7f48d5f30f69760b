"""Wait for the credentials that Postgres loads without a restart (ADR 49)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.components.postgres import status as postgres_status
from infra.errors import EsqError
from infra.waiting import wait_for

if TYPE_CHECKING:
    from infra.components.component_health import ComponentHealth, PodClient
    from infra.progress import ProgressStep

TIMEOUT_SECONDS = 180.0
"""The kubelet replaces the files of a Secret within about a minute; Patroni loads them seconds later."""


def wait_until_applied(pods: PodClient, step: ProgressStep, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
    """Wait until every member of Postgres has loaded the credentials of its Secret.

    Args:
        pods: pods of the data layer's namespace.
        step: shows the members that have not.
        timeout_seconds: longest wait in seconds.

    Raises:
        EsqError: a member has not loaded them in time.
    """
    problems: list[str] = []

    def applied() -> ComponentHealth | None:
        health = postgres_status.collect(pods)
        problems[:] = [] if health.healthy else [health.summary]
        step.set_status("; ".join(problems))
        return health if health.healthy else None

    if wait_for(applied, step, timeout_seconds) is None:
        raise EsqError(
            f"Postgres has not applied its credentials after {timeout_seconds:g} s",
            location="Secret postgres in namespace esq-data",
            remedy="Repeat the command. If it fails again, see `esq logs ENV postgres`.",
            detail="\n".join(problems),
        )
