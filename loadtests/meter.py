"""What the parts of an environment take of processors and memory, as the kubelets count it.

Asked through the API server, so that it is the same question on the zones of one machine and on a cluster
that was given, and nothing needs to run in either for it.
"""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kubernetes.client.exceptions import ApiException
from kubernetes.utils.quantity import parse_quantity
from urllib3.exceptions import HTTPError

from infra.kubernetes import read
from infra.watcher import Watcher
from loadtests.result import Use

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

PERIOD_SECONDS = 10.0
"""A kubelet counts no oftener; in the zones every 30 s, so that runs of less than two minutes say little."""
_READ_SECONDS = 5.0
"""Nothing is asked twice: a node that is away leaves a gap, and the next look comes anyway."""
_AT_ONCE = 8
_MIB = 1 << 20
_NAME = "app.kubernetes.io/name"
_PODS = "/api/v1/pods?labelSelector=app.kubernetes.io/part-of=esq"
"""Those of the platform: what else runs on a given cluster's nodes is not asked about."""


@dataclass
class _Seen:
    """A pod from the first look at it to the last; times in seconds, processor time in core seconds."""

    part: str
    limit: float
    begun: float
    ended: float
    taken_before: float
    taken: float
    memory: float


class Meter(Watcher):
    """Looks at all pods of an environment for as long as its block lasts, and adds up what they take.

    Args:
        api: a client of the cluster; `nodes/proxy` must be allowed to it.
        period: seconds from one look to the next.
    """

    def __init__(self, api: ApiClient, period: float = PERIOD_SECONDS) -> None:
        super().__init__("usage", self.look, period)
        self._api = api
        self._pods: dict[str, _Seen] = {}
        self._began = dt.datetime.now(dt.UTC).timestamp()

    def look(self) -> bool:
        """Read what every node counts; go on whoever does not answer."""
        try:
            pods = read(self._api, _PODS, _READ_SECONDS)["items"]
        except (ApiException, HTTPError):
            return True
        known = {each["metadata"]["uid"]: each for each in pods}
        nodes = {each["spec"]["nodeName"] for each in pods if "nodeName" in each["spec"]}
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for told in pool.map(self._summary, nodes):
                for each in told:
                    if pod := known.get(each["podRef"]["uid"]):
                        self._note(pod, each)
        return True

    def uses(self) -> dict[str, Use]:
        """Return what each part took, the part that took most of the processors first.

        Parts that were not counted twice are missing: of them nobody knows what they took.
        """
        parts: dict[str, list[_Seen]] = {}
        for each in self._pods.values():
            parts.setdefault(each.part, []).append(each)
        found = {name: _use(pods) for name, pods in parts.items() if _seconds(pods)}
        return dict(sorted(found.items(), key=lambda pair: -pair[1].cores))

    def _summary(self, node: str) -> list[dict[str, Any]]:
        try:
            return list(read(self._api, f"/api/v1/nodes/{node}/proxy/stats/summary", _READ_SECONDS)["pods"])
        except (ApiException, HTTPError):
            return []

    def _note(self, pod: dict[str, Any], told: dict[str, Any]) -> None:
        """Add what a kubelet tells of a pod."""
        cpu, memory, uid = told.get("cpu", {}), told.get("memory", {}), pod["metadata"]["uid"]
        if "usageCoreNanoSeconds" not in cpu or "workingSetBytes" not in memory:
            return  # it has begun just now
        if (at := _time(cpu["time"])) < self._began:
            return  # counted before the block, perhaps long before, when all was quiet
        taken = cpu["usageCoreNanoSeconds"] / 1e9
        if uid not in self._pods:
            before = taken if _time(told["startTime"]) < self._began else 0.0
            self._pods[uid] = _Seen(pod["metadata"]["labels"][_NAME], _limit(pod), at, at, before, taken, 0.0)
        seen = self._pods[uid]
        seen.ended, seen.taken = at, taken
        seen.memory = max(seen.memory, memory["workingSetBytes"] / _MIB)


def _time(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()


def _limit(pod: dict[str, Any]) -> float:
    """Return MiB that a pod may hold; 0 when one of its containers may hold anything."""
    limits = [each.get("resources", {}).get("limits", {}).get("memory") for each in pod["spec"]["containers"]]
    return float(sum(parse_quantity(each) for each in limits)) / _MIB if all(limits) else 0.0


def _seconds(pods: list[_Seen]) -> float:
    return max(each.ended for each in pods) - min(each.begun for each in pods)


def _use(pods: list[_Seen]) -> Use:
    return Use(
        pods=len(pods),
        cores=round(sum(each.taken - each.taken_before for each in pods) / _seconds(pods), 4),
        memory=round(max(each.memory for each in pods), 1),
        limit=max(each.limit for each in pods),
    )
