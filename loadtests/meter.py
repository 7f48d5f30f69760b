"""What the parts of an environment take of processors and memory, as the kubelets count it.

Asked through the API server, so that it is the same question on the zones of one machine and on a cluster
that was given, and nothing needs to run in either for it.
"""

from __future__ import annotations

import datetime as dt
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kubernetes.client.exceptions import ApiException
from kubernetes.utils.quantity import parse_quantity
from urllib3.exceptions import HTTPError

from infra.kubernetes import read
from infra.measurements.poller import PollingThread
from infra.names import NAME_LABEL, PART_OF_LABEL, PRODUCT
from loadtests.result import Use

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubernetes.client import ApiClient

PERIOD_SECONDS = 10.0
"""A kubelet counts no oftener; in the zones every 30 s, so that runs of less than two minutes say little."""
_READ_SECONDS = 5.0
"""Nothing is asked twice: a node that is away leaves a gap, and the next look comes anyway."""
_AT_ONCE = 8
_MIB = 1 << 20
_PODS = f"/api/v1/pods?labelSelector={PART_OF_LABEL}={PRODUCT}&fieldSelector=status.phase=Running"
"""Those of the platform, and not what has ended: what else runs on a given cluster is not asked about."""


@dataclass
class _Seen:
    """A pod that ran, as it was counted; times in seconds since the epoch, processor time in core seconds.

    Attributes:
        part: that it belongs to.
        limit: MiB that it may hold.
        began: when it was there first, in the block.
        begun: time of the first count, or of its birth.
        ended: time of the last count.
        before: processor time at `begun`.
        taken: processor time at `ended`.
        memory: most MiB that it held.
        last: the last look at which it was there.
    """

    part: str
    limit: float
    began: float
    begun: float
    ended: float
    before: float
    taken: float
    memory: float = 0.0
    last: float = 0.0

    @property
    def core_seconds(self) -> float:
        """What it took while it was there: outside of the counts as much as between them."""
        return (self.taken - self.before) / (self.ended - self.begun) * (self.last - self.began)


class Meter(PollingThread):
    """Looks at all pods of an environment for as long as its block lasts, and adds up what they take.

    Args:
        api: a client of the cluster; `nodes/proxy` must be allowed to it.
        period: seconds from one look to the next.
        clock: seconds since the epoch, as the nodes' own clocks.
    """

    def __init__(
        self, api: ApiClient, period: float = PERIOD_SECONDS, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__("usage", self.look, period)
        self._api = api
        self._clock = clock
        self._began = self._ended = clock()
        self._pods: dict[str, _Seen] = {}

    def look(self) -> bool:
        """Read what every node counts; go on whoever does not answer."""
        try:
            pods = read(self._api, _PODS, _READ_SECONDS)["items"]
        except (ApiException, HTTPError):
            return True
        self._ended = self._clock()
        known = {each["metadata"]["uid"]: each for each in pods}
        nodes = {each["spec"]["nodeName"] for each in pods if "nodeName" in each["spec"]}
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for told in pool.map(self._summary, nodes):
                for each in told:
                    if pod := known.get(each["podRef"]["uid"]):
                        self._note(pod, each)
        for uid in known.keys() & self._pods.keys():
            self._pods[uid].last = self._ended
        return True

    def uses(self) -> dict[str, Use]:
        """Return what each part took, the part that took most of the processors first.

        Pods that were not counted twice are missing: of them nobody knows what they took.
        """
        parts: dict[str, list[_Seen]] = {}
        for each in self._pods.values():
            if each.ended > each.begun:
                parts.setdefault(each.part, []).append(each)
        seconds = self._ended - self._began
        found = {name: _use(pods, seconds) for name, pods in parts.items()}
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
            self._pods[uid] = self._first(pod, _time(told["startTime"]), at, taken)
        seen = self._pods[uid]
        seen.ended, seen.taken = at, taken
        seen.memory = max(seen.memory, memory["workingSetBytes"] / _MIB)

    def _first(self, pod: dict[str, Any], started: float, at: float, taken: float) -> _Seen:
        """Return a pod at its first count. One that came during the block had taken nothing when it came."""
        part, limit = pod["metadata"]["labels"][NAME_LABEL], _limit(pod)
        if started < self._began:
            return _Seen(part, limit, began=self._began, begun=at, ended=at, before=taken, taken=taken)
        return _Seen(part, limit, began=started, begun=started, ended=at, before=0.0, taken=taken)


def _time(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()


def _limit(pod: dict[str, Any]) -> float:
    """Return MiB that a pod may hold; 0 when one of its containers may hold anything."""
    limits = [each.get("resources", {}).get("limits", {}).get("memory") for each in pod["spec"]["containers"]]
    return float(sum(parse_quantity(each) for each in limits)) / _MIB if all(limits) else 0.0


def _use(pods: list[_Seen], seconds: float) -> Use:
    return Use(
        pods=len(pods),
        cores=round(sum(each.core_seconds for each in pods) / seconds, 4),
        memory=round(max(each.memory for each in pods), 1),
        limit=max(each.limit for each in pods),
    )
