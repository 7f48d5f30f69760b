"""Health of a replicated component, and the port through which its pods are queried."""

from __future__ import annotations

from collections import deque
from concurrent.futures import FIRST_COMPLETED, wait
from typing import TYPE_CHECKING, Protocol

from pydantic import BaseModel, ConfigDict

from infra.daemon_calls import start
from infra.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future


PRIMARY = "primary"
"""Role of the replica that accepts the writes of Postgres or Redis."""
HEDGE_SECONDS = 1.0
"""A pod that does not answer within this time no longer delays the question to the next one."""


class Pod(BaseModel):
    """A pod.

    Attributes:
        name: name of the pod.
        zone: zone of its node; None while it is not scheduled.
        ready: whether all its containers are ready.
        reason: reason for not being ready, as reported by Kubernetes; empty if it is ready.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    zone: str | None
    ready: bool
    reason: str = ""


class Replica(BaseModel):
    """A replica as seen by its own cluster.

    Attributes:
        name: name of the pod.
        zone: zone of its node; None while it is not scheduled.
        role: role in its cluster, e.g. `primary`, `quorum standby`, `broker, leads the quorum`.
        state: replication state, e.g. `streaming`, `in sync`; the problem, if there is one.
        healthy: whether it works as a member of its cluster.
        lag: replication lag in `lag_unit`; None for a leader, or if unknown.
        lag_unit: unit of the lag, e.g. `bytes`.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    zone: str | None
    role: str
    state: str
    healthy: bool
    lag: int | None = None
    lag_unit: str = ""


class ComponentHealth(BaseModel):
    """Health of a replicated component.

    Attributes:
        component: name of the component: `postgres`, `redis`, `kafka` or `object-store`.
        healthy: whether all replicas work, and losing a zone would cost neither data nor service.
        summary: sentence with the state or the problems.
        outage: why it does not serve now; empty if it serves, perhaps with fewer replicas.
        replicas: all replicas, sorted by name.
    """

    model_config = ConfigDict(frozen=True)

    component: str
    healthy: bool
    summary: str
    replicas: tuple[Replica, ...]
    outage: str = ""

    @property
    def unhealthy(self) -> tuple[Replica, ...]:
        """The replicas that do not work."""
        return tuple(replica for replica in self.replicas if not replica.healthy)


class PodUnreachableError(UnreachableError):
    """A pod or the cluster is unreachable."""


class PodClient(Protocol):
    """Access to the pods of a namespace."""

    def list_pods(self, name: str) -> Sequence[Pod]:
        """Return the pods of the workload `name`, sorted by name.

        Raises:
            PodUnreachableError: the cluster is unreachable.
        """

    def configuration_digest(self, secret: str) -> str:
        """Return the digest of the values that a Secret declares; empty if it states none.

        Args:
            secret: name of the Secret.

        Raises:
            PodUnreachableError: the cluster is unreachable, or has no such Secret.
        """

    def run(self, pod: str, container: str, argv: Sequence[str]) -> str:
        """Run a program in a container.

        Args:
            pod: name of the pod.
            container: name of the container.
            argv: program and arguments.

        Returns:
            The standard output.

        Raises:
            PodUnreachableError: the program cannot be run, failed, or timed out.
        """

    def get(self, pod: str, port: int, path: str) -> str:
        """Return the response to `GET https://POD:port/path`.

        Args:
            pod: name of the pod.
            port: HTTPS port.
            path: path with its leading slash.

        Raises:
            PodUnreachableError: no response, or no success status.
        """


class PodQuery(Protocol):
    """Queries a pod."""

    def __call__(self, pod: str, /) -> str:
        """Return the response; raise PodUnreachableError if there is none."""


def unreachable_replica(pod: Pod, reason: str = "") -> Replica:
    """Return the replica of a pod whose state is unknown.

    Args:
        pod: the pod.
        reason: reason for the unknown state; by default the reason why the pod is not ready.
    """
    return Replica(
        name=pod.name,
        zone=pod.zone,
        role="unknown",
        state=reason or pod.reason or "no answer",
        healthy=False,
    )


def unreachable_component(component: str, pods: Sequence[Pod], error: PodUnreachableError) -> ComponentHealth:
    """Return the health of a component without any reachable pod.

    Args:
        component: name of the component.
        pods: its pods.
        error: error of the last pod.
    """
    replicas = tuple(unreachable_replica(pod) for pod in pods)
    return ComponentHealth(
        component=component, healthy=False, summary=error.message, replicas=replicas, outage=error.message
    )


def component_health(
    component: str, replicas: Sequence[Replica], healthy_summary: str, outage: str = ""
) -> ComponentHealth:
    """Return the health of a component.

    Args:
        component: name of the component.
        replicas: its replicas.
        healthy_summary: summary if all replicas are healthy; otherwise it lists the problems.
        outage: why it does not serve now; empty if it serves.
    """
    problems = [outage] if outage else []
    problems += [f"{replica.name}: {replica.state}" for replica in replicas if not replica.healthy]
    healthy = bool(replicas) and not problems
    summary = healthy_summary if healthy else "; ".join(problems) or "no pods"
    return ComponentHealth(
        component=component,
        healthy=healthy,
        summary=summary,
        replicas=tuple(replicas),
        outage=outage if replicas else "no pods",
    )


def primary_outage(replicas: Sequence[Replica], pods: Sequence[Pod]) -> str:
    """Return why no primary accepts writes; empty if one does, or several claim to.

    Args:
        replicas: the replicas; a primary that works has a state that starts with `running`.
        pods: their pods.
    """
    ready = {pod.name for pod in pods if pod.ready}
    primaries = [replica for replica in replicas if replica.role == PRIMARY]
    works = any(primary.name in ready and primary.state.startswith("running") for primary in primaries)
    return "" if works or len(primaries) > 1 else "no primary accepts writes"


def query_first_reachable(pods: Sequence[Pod], query: PodQuery) -> str:
    """Return the response of the first pod that answers; ready pods are queried first.

    Args:
        pods: the candidates.
        query: the query.

    Raises:
        PodUnreachableError: no pod is reachable; the error of the last one.
    """
    pending: set[Future[str]] = set()
    failure = PodUnreachableError("no pods")
    candidates = deque(sorted(pods, key=lambda pod: not pod.ready))
    while candidates or pending:
        if candidates:
            pending.add(start(query, candidates.popleft().name))
        done, pending = wait(pending, HEDGE_SECONDS if candidates else None, FIRST_COMPLETED)
        for future in done:
            error = future.exception()
            if error is None:
                return future.result()
            if not isinstance(error, PodUnreachableError):
                raise error
            failure = error
    raise failure
