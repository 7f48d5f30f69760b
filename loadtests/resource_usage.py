"""CPU and memory usage of an environment's components, as the kubelets measure it.

Read through the API server: the same requests work on the embedded zones and on an existing cluster, and
nothing has to be installed in either.
"""

from __future__ import annotations

import datetime as dt
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kubernetes.utils.quantity import parse_quantity

from infra.kubernetes import API_ERRORS, get_json
from infra.measurements.poller import PollingThread
from infra.names import NAME_LABEL, PART_OF_LABEL, PRODUCT
from loadtests.cpu_series import cores_over_time, sum_over_time
from loadtests.results import ResourceUsage

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubernetes.client import ApiClient

    from loadtests.cpu_series import Reading

POLL_INTERVAL_SECONDS = 10.0
"""A kubelet samples at most this often; in the zones every 30 s, so runs below two minutes are inaccurate."""
READ_TIMEOUT_SECONDS = 5.0
"""No retries: an unavailable node leaves a gap until the next poll."""
_MAX_CONCURRENT_READS = 8
_MIB = 1 << 20
_PODS = f"/api/v1/pods?labelSelector={PART_OF_LABEL}={PRODUCT}&fieldSelector=status.phase=Running"
"""Running pods of the platform; other pods of an existing cluster are not read."""


@dataclass
class _PodUsage:
    """Samples of a pod; times in seconds since the epoch, CPU in core seconds.

    Attributes:
        component: component that the pod belongs to.
        limit_mib: memory limit, MiB.
        present_from: start of the pod, at least the start of the measurement.
        first_at: time of the first sample, or start of the pod.
        last_at: time of the last sample.
        first_cpu: CPU time at `first_at`.
        last_cpu: CPU time at `last_at`.
        max_memory_mib: maximum working set, MiB.
        present_until: last poll in which the pod existed.
        readings: time and CPU time of each sample, from `first_at` on.
    """

    component: str
    limit_mib: float
    present_from: float
    first_at: float
    last_at: float
    first_cpu: float
    last_cpu: float
    max_memory_mib: float = 0.0
    present_until: float = 0.0
    readings: list[Reading] = field(default_factory=list)

    @property
    def core_seconds(self) -> float:
        """CPU time while the pod existed, extrapolated from the time between the samples."""
        rate = (self.last_cpu - self.first_cpu) / (self.last_at - self.first_at)
        return rate * (self.present_until - self.present_from)


class ResourceMeter(PollingThread):
    """Polls all pods of an environment while its block runs, and sums their usage by component.

    Args:
        api: client of the cluster, without retries; requires access to `nodes/proxy`.
        period: seconds between two polls.
        clock: seconds since the epoch, as on the nodes.
    """

    def __init__(
        self,
        api: ApiClient,
        period: float = POLL_INTERVAL_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__("usage", self.poll, period)
        self._api = api
        self._clock = clock
        self._started_at = self._polled_at = clock()
        self._pods: dict[str, _PodUsage] = {}

    def poll(self) -> bool:
        """Read the samples of every node; skip nodes that do not answer.

        Returns:
            True: polling continues until the block ends.
        """
        try:
            pods = get_json(self._api, _PODS)["items"]
        except API_ERRORS:
            return True
        self._polled_at = self._clock()
        by_uid = {pod["metadata"]["uid"]: pod for pod in pods}
        nodes = {pod["spec"]["nodeName"] for pod in pods if "nodeName" in pod["spec"]}
        with ThreadPoolExecutor(_MAX_CONCURRENT_READS) as pool:
            for samples in pool.map(self._summary, nodes):
                for sample in samples:
                    if pod := by_uid.get(sample["podRef"]["uid"]):
                        self._add_sample(pod, sample)
        for uid in by_uid.keys() & self._pods.keys():
            self._pods[uid].present_until = self._polled_at
        return True

    def usage(self) -> dict[str, ResourceUsage]:
        """Return the usage of each component, highest CPU usage first.

        Pods with fewer than two samples are left out: their usage is unknown.
        """
        components: dict[str, list[_PodUsage]] = {}
        for pod in self._pods.values():
            if pod.last_at > pod.first_at:
                components.setdefault(pod.component, []).append(pod)
        seconds = self._polled_at - self._started_at
        usages = {name: _usage(pods, seconds) for name, pods in components.items()}
        return dict(sorted(usages.items(), key=lambda item: -item[1].cores))

    def over_time(
        self, start: float, interval_seconds: float, count: int
    ) -> dict[str, tuple[float | None, ...]]:
        """Return the cores used by each component in each interval, the busiest first.

        Args:
            start: start of the first interval, seconds since the epoch.
            interval_seconds: length of an interval.
            count: number of intervals.
        """
        return {
            component: sum_over_time(
                cores_over_time(pod.readings, start, interval_seconds, count)
                for pod in self._pods.values()
                if pod.component == component
            )
            for component in self.usage()
        }

    def _summary(self, node: str) -> list[dict[str, Any]]:
        path = f"/api/v1/nodes/{node}/proxy/stats/summary"
        try:
            return list(get_json(self._api, path)["pods"])
        except API_ERRORS:
            return []

    def _add_sample(self, pod: dict[str, Any], sample: dict[str, Any]) -> None:
        """Add a kubelet's sample of a pod."""
        cpu, memory, uid = sample.get("cpu", {}), sample.get("memory", {}), pod["metadata"]["uid"]
        if "usageCoreNanoSeconds" not in cpu or "workingSetBytes" not in memory:
            return  # the pod has just started
        if (at := _timestamp(cpu["time"])) < self._started_at:
            return  # sampled before the measurement, possibly long before, in an idle period
        core_seconds = cpu["usageCoreNanoSeconds"] / 1e9
        if uid not in self._pods:
            self._pods[uid] = self._first_sample(pod, _timestamp(sample["startTime"]), at, core_seconds)
        usage = self._pods[uid]
        if at > usage.last_at:  # a kubelet repeats its last sample until the next
            usage.readings.append((at, core_seconds))
        usage.last_at, usage.last_cpu = at, core_seconds
        usage.max_memory_mib = max(usage.max_memory_mib, memory["workingSetBytes"] / _MIB)

    def _first_sample(
        self, pod: dict[str, Any], pod_started_at: float, at: float, core_seconds: float
    ) -> _PodUsage:
        """Return the usage of a pod at its first sample; a pod that started later began with no CPU time."""
        component, limit = pod["metadata"]["labels"][NAME_LABEL], _memory_limit(pod)
        started_before_the_run = pod_started_at < self._started_at
        first_at, first_cpu = (at, core_seconds) if started_before_the_run else (pod_started_at, 0.0)
        return _PodUsage(
            component,
            limit,
            present_from=max(pod_started_at, self._started_at),
            first_at=first_at,
            last_at=first_at,
            first_cpu=first_cpu,
            last_cpu=first_cpu,
            readings=[(first_at, first_cpu)],
        )


def _timestamp(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()


def _memory_limit(pod: dict[str, Any]) -> float:
    """Return the memory limit of a pod, MiB; 0 if one of its containers has none."""
    limits = [
        container.get("resources", {}).get("limits", {}).get("memory")
        for container in pod["spec"]["containers"]
    ]
    return float(sum(parse_quantity(limit) for limit in limits)) / _MIB if all(limits) else 0.0


def _usage(pods: list[_PodUsage], seconds: float) -> ResourceUsage:
    return ResourceUsage(
        pods=len(pods),
        cores=round(sum(pod.core_seconds for pod in pods) / seconds, 4),
        memory_mib=round(max(pod.max_memory_mib for pod in pods), 1),
        limit_mib=max(pod.limit_mib for pod in pods),
    )
