"""Resource usage by component, from kubelet samples of pods that start, stop or are not reported."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException

from loadtests import resource_usage as module
from loadtests.resource_usage import ResourceMeter

STARTED_AT = 1_800_000_000.0
MIB = 1 << 20


def timestamp(seconds: float) -> str:
    return dt.datetime.fromtimestamp(STARTED_AT + seconds, dt.UTC).isoformat().replace("+00:00", "Z")


class Cluster:
    """An API server with a kubelet behind it on each of two nodes."""

    def __init__(self) -> None:
        self.pods: list[dict[str, Any]] = []
        self.samples: dict[str, list[dict[str, Any]]] = {"a": [], "b": []}
        self.started: dict[str, float] = {}
        self.now = 0.0
        self.unavailable: set[str] = set()

    def pod(self, uid: str, component: str, node: str, limits: tuple[str | None, ...] = ("256Mi",)) -> None:
        containers = [{"resources": {"limits": {"memory": limit}} if limit else {}} for limit in limits]
        spec = {"nodeName": node, "containers": containers}
        labels = {"app.kubernetes.io/name": component}
        self.pods.append({"metadata": {"uid": uid, "labels": labels}, "spec": spec})

    def add_sample(self, node: str, uid: str, at: float, core_seconds: float, mib: float) -> None:
        """Replace the sample of a pod in the kubelet's summary."""
        sample = {
            "podRef": {"uid": uid},
            "startTime": timestamp(self.started.get(uid, -1000)),
            "cpu": {"time": timestamp(at), "usageCoreNanoSeconds": int(core_seconds * 1e9)},
            "memory": {"workingSetBytes": int(mib * MIB)},
        }
        others = [other for other in self.samples[node] if other["podRef"]["uid"] != uid]
        self.samples[node] = [*others, sample]

    def get_json(self, _: ApiClient, path: str) -> dict[str, Any]:
        if path.startswith("/api/v1/pods?"):
            if "api" in self.unavailable:
                raise ApiException(status=503)
            return {"items": self.pods}
        node = path.split("/")[4]
        if node in self.unavailable:
            raise ApiException(status=502)
        return {"pods": self.samples[node]}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    fake = Cluster()
    monkeypatch.setattr(module, "get_json", fake.get_json)
    return fake


@pytest.fixture
def meter(cluster: Cluster) -> ResourceMeter:
    return ResourceMeter(ApiClient(), clock=lambda: STARTED_AT + cluster.now)


def poll(cluster: Cluster, meter: ResourceMeter, at: float) -> None:
    cluster.now = at
    assert meter.poll()


def test_usage_before_the_run_is_excluded(cluster: Cluster, meter: ResourceMeter) -> None:
    cluster.pod("1", "api", "a")
    cluster.pod("2", "api", "b")
    for at, core_seconds in ((0, 100), (10, 105), (20, 110)):
        cluster.add_sample("a", "1", at, core_seconds, 80)
        cluster.add_sample("b", "2", at, 2 * core_seconds, 90)
        poll(cluster, meter, at)
    ((name, usage),) = meter.usage().items()
    assert name == "api"
    assert (usage.pods, usage.limit_mib) == (2, 256)
    assert usage.cores == pytest.approx((10 + 20) / 20)


def test_samples_before_the_run_are_ignored(cluster: Cluster, meter: ResourceMeter) -> None:
    cluster.pod("1", "api", "a")
    for at, core_seconds in ((-90, 100), (0, 100), (10, 110)):
        cluster.add_sample("a", "1", at, core_seconds, 80)
        poll(cluster, meter, max(at, 0))
    assert meter.usage()["api"].cores == pytest.approx(1)


def test_rare_and_unsynchronized_samples_are_extrapolated(cluster: Cluster, meter: ResourceMeter) -> None:
    for uid, lag in (("1", 5), ("2", 25), ("3", 44)):
        cluster.pod(uid, "api", "a")
        for at in (lag, lag + 45):
            cluster.add_sample("a", uid, at, 0.2 * at, 80)
            poll(cluster, meter, at)
    poll(cluster, meter, 90)
    assert meter.usage()["api"].cores == pytest.approx(0.6)


def test_memory_is_maximum_of_one_pod(cluster: Cluster, meter: ResourceMeter) -> None:
    cluster.pod("1", "api", "a")
    for at, mib in ((0, 50), (10, 120), (20, 60)):
        cluster.add_sample("a", "1", at, at, mib)
        poll(cluster, meter, at)
    assert meter.usage()["api"].memory_mib == 120


def test_pods_count_for_their_lifetime(cluster: Cluster, meter: ResourceMeter) -> None:
    cluster.pod("1", "api", "a")
    for at, core_seconds in ((0, 10), (10, 11)):
        cluster.add_sample("a", "1", at, core_seconds, 50)
        poll(cluster, meter, at)
    cluster.pods, cluster.samples["a"] = [], []
    poll(cluster, meter, 15)
    cluster.pod("2", "api", "a")
    cluster.started["2"] = 20
    cluster.add_sample("a", "2", 30, 3, 50)
    poll(cluster, meter, 40)
    usage = meter.usage()["api"]
    assert usage.pods == 2
    assert usage.cores == pytest.approx((0.1 * 10 + 0.3 * 20) / 40)


@pytest.mark.parametrize("missing", ["a", "api"])
def test_unavailable_node_or_api_leaves_a_gap(cluster: Cluster, meter: ResourceMeter, missing: str) -> None:
    cluster.pod("1", "api", "a")
    cluster.add_sample("a", "1", 0, 1000, 50)
    cluster.unavailable.add(missing)
    poll(cluster, meter, 0)
    assert meter.usage() == {}
    cluster.unavailable.clear()
    for at, core_seconds in ((10, 1001), (20, 1003)):
        cluster.add_sample("a", "1", at, core_seconds, 50)
        poll(cluster, meter, at)
    assert meter.usage()["api"].cores == pytest.approx(0.2)


def test_components_are_sorted_by_cpu_without_unknown_pods(cluster: Cluster, meter: ResourceMeter) -> None:
    cluster.pod("1", "api", "a")
    cluster.pod("2", "worker", "a")
    for at in (0, 10):
        for uid, share in (("1", 0.1), ("2", 0.5), ("unknown", 0.9)):
            cluster.add_sample("a", uid, at, at * share, 50)
        poll(cluster, meter, at)
    assert {name: usage.cores for name, usage in meter.usage().items()} == {"worker": 0.5, "api": 0.1}
    assert list(meter.usage()) == ["worker", "api"]


def test_pod_with_unlimited_container_has_no_limit(cluster: Cluster, meter: ResourceMeter) -> None:
    cluster.pod("1", "kafka", "a", ("1Gi", "64Mi"))
    cluster.pod("2", "proxy", "a", ("64Mi", None))
    for at in (0, 10):
        cluster.add_sample("a", "1", at, at, 50)
        cluster.add_sample("a", "2", at, at, 50)
        poll(cluster, meter, at)
    usages = meter.usage()
    assert (usages["kafka"].limit_mib, usages["proxy"].limit_mib) == (1088, 0)


def test_pod_with_one_sample_is_left_out(cluster: Cluster, meter: ResourceMeter) -> None:
    cluster.pod("1", "api", "a")
    cluster.add_sample("a", "1", 0, 10, 50)
    for at in (0, 10):
        poll(cluster, meter, at)
    assert meter.usage() == {}


def test_pod_without_statistics_is_skipped(cluster: Cluster, meter: ResourceMeter) -> None:
    cluster.pod("1", "api", "a")
    cluster.samples["a"] = [
        {"podRef": {"uid": "1"}, "startTime": timestamp(0), "cpu": {"time": timestamp(1)}}
    ]
    poll(cluster, meter, 10)
    assert meter.usage() == {}


def test_usage_over_time_is_summed_by_component(cluster: Cluster, meter: ResourceMeter) -> None:
    cluster.pod("1", "api", "a")
    cluster.pod("2", "api", "b")
    for at in (0, 10, 20):
        cluster.add_sample("a", "1", at, 2 * max(0, at - 10), 50)  # idle, then two cores
        cluster.add_sample("b", "2", at, at, 50)
        poll(cluster, meter, at)
        poll(cluster, meter, at)  # the kubelet repeats its sample
    assert meter.over_time(STARTED_AT, 10, 3) == {"api": (1.0, 3.0, None)}
