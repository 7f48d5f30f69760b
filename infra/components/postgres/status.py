"""How Postgres is, by Patroni's own account."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from infra.components.report import NoAnswerError, Replica, first_answer, report, silent, unanswered
from infra.names import STATEFUL_REPLICAS

if TYPE_CHECKING:
    from infra.components.report import Pod, Pods, Report

_REST_PORT = 8008
_ROLES = {"leader": "primary", "quorum_standby": "quorum standby", "replica": "replica"}
_GOOD = {"leader": "running", "quorum_standby": "streaming"}


def read(pods: Pods) -> Report:
    """Ask the members for what they know of each other; the first that answers speaks for all."""
    mine = pods.of("postgres")
    try:
        answer = json.loads(first_answer(mine, lambda pod: pods.get(pod, _REST_PORT, "/cluster")))
    except NoAnswerError as error:
        return unanswered("postgres", mine, error)
    members = {member["name"]: member for member in answer["members"]}
    replicas = [_replica(pod, members.get(pod.name)) for pod in mine]
    good = f"primary {_leader(members)}, {STATEFUL_REPLICAS - 1} standbys streaming, commits wait for one"
    return report("postgres", replicas, good)


def _leader(members: dict[str, Any]) -> str:
    return next((name for name, member in members.items() if member["role"] == "leader"), "unknown")


def _replica(pod: Pod, member: dict[str, Any] | None) -> Replica:
    if member is None:
        return silent(pod, "unknown to Patroni")
    lag = member.get("lag")
    return Replica(
        name=pod.name,
        zone=pod.zone,
        role=_ROLES.get(member["role"], member["role"]),
        state=member["state"] if pod.ready else f"{member['state']}, {pod.reason or 'not ready'}",
        healthy=pod.ready and _GOOD.get(member["role"]) == member["state"],
        lag=lag if isinstance(lag, int) else None,
        lag_unit="bytes",
    )
