"""Health of an environment: what its readings show, and the problems that the steady state finds in them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from cli.actions.environment_context import EnvironmentContext
from infra.components.pod_client import LIST_RETRY_SECONDS
from infra.environment_health import BackupHealth
from infra.errors import EsqError
from infra.waiting import wait_for
from runbooks import steady_state
from runbooks.check import UnavailableError
from runbooks.triage import OUTAGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.actions.deployment_target import DeploymentTarget
    from cli.environment import Environment
    from infra.components.component_health import ComponentHealth
    from infra.environment_health import EndpointCheck, NodeHealth, ServiceHealth
    from infra.progress import ProgressStep
    from runbooks.check import CheckContext

T = TypeVar("T")
HEALTHY_TIMEOUT_SECONDS = 120.0
"""After a deploy everything must be healthy within this time."""
_POLL_INTERVAL_SECONDS = 1.0
_DEADLINE_SECONDS = 20.0
_CHECKS_TIMEOUT_SECONDS = _DEADLINE_SECONDS + 1
"""A check waits for its readings until their deadline."""
_REQUEST_TIMEOUT_SECONDS = 3.0
_COMPONENTS = ("postgres", "redis", "kafka", "object-store")


@dataclass(frozen=True)
class Health:
    """Health of an environment."""

    nodes: tuple[NodeHealth, ...]
    data: tuple[ComponentHealth, ...]
    backups: BackupHealth
    services: tuple[ServiceHealth, ...]
    endpoints: tuple[EndpointCheck, ...]
    unfinished_restore: str = ""
    """Command that resumes an interrupted in-place restore; empty when there is none."""
    outages: tuple[str, ...] = ()
    """Problems that can end by themselves, one sentence each."""
    warnings: tuple[str, ...] = ()
    """Problems that last, e.g. old backups."""

    @property
    def problems(self) -> list[str]:
        """All problems, one sentence each."""
        restore = f"an in-place restore is not complete; to resume: {self.unfinished_restore}"
        return [*([restore] if self.unfinished_restore else []), *self.outages, *self.warnings]

    @property
    def healthy(self) -> bool:
        """Whether there are no problems."""
        return not self.problems

    @property
    def summary(self) -> str:
        """Everything in one line."""
        if not self.healthy:
            return "; ".join(self.problems)
        replicas = sum(len(report.replicas) for report in self.data)
        pods = sum(service.ready for service in self.services)
        return f"{len(self.nodes)} nodes, {replicas} data replicas, {pods} service replicas, edge: healthy"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        report = self.backups.report
        return {
            "healthy": self.healthy,
            "problems": self.problems,
            "nodes": [vars(node) for node in self.nodes],
            "data": {
                report.component: [replica.model_dump() for replica in report.replicas]
                for report in self.data
            },
            "backups": {
                "summary": self.backups.summary,
                "problems": list(self.backups.problems),
                **(report.model_dump(mode="json", exclude={"problems"}) if report else {}),
            },
            "services": [{**vars(service), "healthy": service.healthy} for service in self.services],
            "endpoints": [vars(check) for check in self.endpoints],
        }


def collect_health(target: DeploymentTarget) -> Health:
    """Collect the health of an environment once.

    Returns:
        The health of nodes, data, backups, services and endpoints.

    Raises:
        EsqError: the environment is not deployed, or the cluster is unreachable.
    """
    if not target.kubeconfig.is_file():
        raise EsqError(
            f"`{target.environment.name}` is not deployed",
            location=str(target.kubeconfig),
            remedy=f"Deploy it: `esq deploy {target.environment.name}`.",
        )
    context = EnvironmentContext(
        target,
        deadline_seconds=_DEADLINE_SECONDS,
        request_timeout_seconds=_REQUEST_TIMEOUT_SECONDS,
        retry_seconds=LIST_RETRY_SECONDS,
    )
    return assess(context)


def assess(context: CheckContext) -> Health:
    """Return the health that the readings of an environment show.

    Raises:
        UnavailableError: its nodes cannot be read: the cluster is unreachable.
    """
    outages = steady_state.find_problems(context, OUTAGES, _CHECKS_TIMEOUT_SECONDS)
    warnings = steady_state.find_problems(context, steady_state.WARNINGS, _CHECKS_TIMEOUT_SECONDS)
    restore, unread = _unfinished_restore(context)
    components = [_read(partial(_component, context, name), None) for name in _COMPONENTS]
    return Health(
        nodes=tuple(context.nodes()),
        data=tuple(health for health in components if health is not None),
        backups=_read(context.backups, BackupHealth("cannot be read")),
        services=tuple(_read(context.services, ())),
        endpoints=tuple(_read(context.endpoints, ())),
        unfinished_restore=restore,
        outages=tuple(outages),
        warnings=(*warnings, *unread),
    )


def _unfinished_restore(context: CheckContext) -> tuple[str, tuple[str, ...]]:
    """Return the command that resumes a restore, and the problem that this cannot be read."""
    try:
        return context.unfinished_restore(), ()
    except UnavailableError as error:
        return "", (f"{error.message}: cannot tell whether a restore is unfinished",)


def _component(context: CheckContext, name: str) -> ComponentHealth | None:
    return context.component(name)


def _read(read: Callable[[], T], missing: T) -> T:
    """Return a reading; `missing` if it is unavailable, which the steady state reports."""
    try:
        return read()
    except UnavailableError:
        return missing


def wait_until_healthy(
    environment: Environment,
    target: DeploymentTarget,
    step: ProgressStep,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Health:
    """Poll until there are no outages.

    Args:
        environment: the environment.
        target: its deployment target.
        step: shows the outages.
        clock: monotonic time in seconds.

    Returns:
        The health, without outages.

    Raises:
        EsqError: there are outages after `HEALTHY_TIMEOUT_SECONDS`.
    """
    outages: list[str] = []

    def healthy() -> Health | None:
        health = collect_health(target)
        outages[:] = health.outages
        step.set_status("; ".join(outages))
        return None if outages else health

    health = wait_for(
        healthy, step, HEALTHY_TIMEOUT_SECONDS, interval_seconds=_POLL_INTERVAL_SECONDS, clock=clock
    )
    if health is None:
        raise EsqError(
            f"`{environment.name}` is deployed, but not healthy after {HEALTHY_TIMEOUT_SECONDS:g} s",
            location="health checks",
            remedy=f"See `esq status {environment.name}`.",
            detail="\n".join(f"- {outage}" for outage in outages),
        )
    return health
