"""How Redis is, by each server's own account."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from infra.components.report import NoAnswerError, Replica, report, silent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.components.report import Pod, Pods, Report

_ASK = ("redis-cli", "-e", "--tls", "--cacert", "/etc/esq/tls/ca.crt", "-p", "6379", "info", "replication")


def read(pods: Pods) -> Report:
    """Ask every server for its side of the replication."""
    mine = pods.of("redis")
    with ThreadPoolExecutor(len(mine) or 1) as pool:
        answers = dict(zip(mine, pool.map(lambda pod: _facts(pods, pod), mine), strict=True))
    offset = max((int(facts["master_repl_offset"]) for facts in answers.values() if facts), default=0)
    replicas = [_replica(pod, facts, offset) for pod, facts in answers.items()]
    primaries = [each.name for each in replicas if each.role == "primary"]
    if len(primaries) > 1:
        replicas = [each.model_copy(update={"healthy": False}) for each in replicas]
    return report("redis", replicas, f"primary {', '.join(primaries)}, its replicas connected")


def _facts(pods: Pods, pod: Pod) -> Mapping[str, str]:
    try:
        answer = pods.run(pod.name, "redis", _ASK)
    except NoAnswerError:
        return {}
    return dict(line.split(":", 1) for line in answer.split() if ":" in line)


def _replica(pod: Pod, facts: Mapping[str, str], offset: int) -> Replica:
    if not facts:
        return silent(pod)
    primary = facts["role"] == "master"
    link = "running" if primary else f"link {facts['master_link_status']}"
    state = link if pod.ready else f"{link}, {pod.reason or 'not ready'}"
    behind = offset - int(facts.get("slave_repl_offset", offset))
    return Replica(
        name=pod.name,
        zone=pod.zone,
        role="primary" if primary else "replica",
        state=state,
        healthy=pod.ready and link in ("running", "link up"),
        lag=None if primary else behind,
        lag_unit="bytes",
    )
