"""How Kafka is, by what a broker knows of the brokers, the partitions and the quorum."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from infra.components.report import NoAnswerError, Replica, first_answer, report, unanswered

if TYPE_CHECKING:
    from infra.components.report import Pod, Pods, Report

_ASK = ("python3", "/etc/esq/kafka/probe.py")


def read(pods: Pods) -> Report:
    """Ask the brokers; the first that answers speaks for all."""
    mine = pods.of("kafka")
    try:
        answer = json.loads(first_answer(mine, lambda pod: pods.run(pod, "kafka", _ASK)))
    except NoAnswerError as error:
        return unanswered("kafka", mine, error)
    replicas = [_replica(pod, answer) for pod in mine]
    count = len(answer["metadata"]["partitions"])
    good = f"{len(mine)} brokers, all {count} partitions in sync, quorum led by kafka-{_leader(answer)}"
    return report("kafka", replicas, good)


def _leader(answer: dict[str, Any]) -> int:
    leader: int = answer["quorum"]["leader"]
    return leader


def _replica(pod: Pod, answer: dict[str, Any]) -> Replica:
    number = int(pod.name.rpartition("-")[2])
    partitions = answer["metadata"]["partitions"]
    behind = [each for each in partitions if number in each["replicas"] and number not in each["in_sync"]]
    fenced = number not in answer["metadata"]["brokers"]
    state = "fenced" if fenced else f"catching up on {len(behind)} partitions" if behind else "in sync"
    voter = next((each for each in answer["quorum"]["voters"] if each["number"] == number), None)
    leads = number == _leader(answer)
    return Replica(
        name=pod.name,
        zone=pod.zone,
        role="broker, leads the quorum" if leads else "broker, votes",
        state=state if pod.ready else f"{state}, {pod.reason or 'not ready'}",
        healthy=pod.ready and not fenced and not behind,
        lag=None if leads or voter is None else voter["behind"],
        lag_unit="metadata records",
    )
