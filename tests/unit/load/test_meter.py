"""What parts take is added up from what kubelets count, whoever comes, goes or does not answer meanwhile."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException

from loadtests import meter as module
from loadtests.meter import Meter

BEGAN = 1_800_000_000.0
MIB = 1 << 20


def stamp(seconds: float) -> str:
    return dt.datetime.fromtimestamp(BEGAN + seconds, dt.UTC).isoformat().replace("+00:00", "Z")


class Cluster:
    """An API server with a kubelet behind it on each of two nodes."""

    def __init__(self) -> None:
        self.pods: list[dict[str, Any]] = []
        self.counts: dict[str, list[dict[str, Any]]] = {"a": [], "b": []}
        self.started: dict[str, float] = {}
        self.now = 0.0
        self.away: set[str] = set()

    def pod(self, uid: str, part: str, node: str, limits: tuple[str | None, ...] = ("256Mi",)) -> None:
        containers = [{"resources": {"limits": {"memory": each}} if each else {}} for each in limits]
        spec = {"nodeName": node, "containers": containers}
        labels = {"app.kubernetes.io/name": part}
        self.pods.append({"metadata": {"uid": uid, "labels": labels}, "spec": spec})

    def count(self, node: str, uid: str, at: float, taken: float, mib: float) -> None:
        """Let a kubelet tell that a pod has taken so many core seconds and holds so many MiB."""
        told = {
            "podRef": {"uid": uid},
            "startTime": stamp(self.started.get(uid, -1000)),
            "cpu": {"time": stamp(at), "usageCoreNanoSeconds": int(taken * 1e9)},
            "memory": {"workingSetBytes": int(mib * MIB)},
        }
        kept = [each for each in self.counts[node] if each["podRef"]["uid"] != uid]
        self.counts[node] = [*kept, told]

    def read(self, _: ApiClient, path: str, seconds: float) -> dict[str, Any]:
        assert seconds > 0
        if path.startswith("/api/v1/pods?"):
            if "api" in self.away:
                raise ApiException(status=503)
            return {"items": self.pods}
        node = path.split("/")[4]
        if node in self.away:
            raise ApiException(status=502)
        return {"pods": self.counts[node]}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()
    monkeypatch.setattr(module, "read", made.read)
    return made


@pytest.fixture
def meter(cluster: Cluster) -> Meter:
    return Meter(ApiClient(), clock=lambda: BEGAN + cluster.now)


def look(cluster: Cluster, meter: Meter, at: float) -> None:
    cluster.now = at
    assert meter.look()


def test_what_was_taken_before_the_run_does_not_count(cluster: Cluster, meter: Meter) -> None:
    cluster.pod("1", "api", "a")
    cluster.pod("2", "api", "b")
    for at, taken in ((0, 100), (10, 105), (20, 110)):
        cluster.count("a", "1", at, taken, 80)
        cluster.count("b", "2", at, 2 * taken, 90)
        look(cluster, meter, at)
    ((name, use),) = meter.uses().items()
    assert name == "api"
    assert (use.pods, use.limit) == (2, 256)
    assert use.cores == pytest.approx((10 + 20) / 20)


def test_what_was_counted_before_the_run_is_no_beginning(cluster: Cluster, meter: Meter) -> None:
    cluster.pod("1", "api", "a")
    for at, taken in ((-90, 100), (0, 100), (10, 110)):
        cluster.count("a", "1", at, taken, 80)
        look(cluster, meter, max(at, 0))
    assert meter.uses()["api"].cores == pytest.approx(1)


def test_kubelets_that_count_seldom_and_not_together_change_nothing(cluster: Cluster, meter: Meter) -> None:
    for uid, lag in (("1", 5), ("2", 25), ("3", 44)):
        cluster.pod(uid, "api", "a")
        for at in (lag, lag + 45):
            cluster.count("a", uid, at, 0.2 * at, 80)
            look(cluster, meter, at)
    look(cluster, meter, 90)
    assert meter.uses()["api"].cores == pytest.approx(0.6)


def test_memory_is_the_most_that_one_pod_held(cluster: Cluster, meter: Meter) -> None:
    cluster.pod("1", "api", "a")
    for at, mib in ((0, 50), (10, 120), (20, 60)):
        cluster.count("a", "1", at, at, mib)
        look(cluster, meter, at)
    assert meter.uses()["api"].memory == 120


def test_pods_count_for_as_long_as_they_are_there(cluster: Cluster, meter: Meter) -> None:
    cluster.pod("1", "api", "a")
    for at, taken in ((0, 10), (10, 11)):
        cluster.count("a", "1", at, taken, 50)
        look(cluster, meter, at)
    cluster.pods, cluster.counts["a"] = [], []
    look(cluster, meter, 15)
    cluster.pod("2", "api", "a")
    cluster.started["2"] = 20
    cluster.count("a", "2", 30, 3, 50)
    look(cluster, meter, 40)
    use = meter.uses()["api"]
    assert use.pods == 2
    assert use.cores == pytest.approx((0.1 * 10 + 0.3 * 20) / 40)


@pytest.mark.parametrize("gone", ["a", "api"])
def test_who_does_not_answer_leaves_a_gap_and_no_pile(cluster: Cluster, meter: Meter, gone: str) -> None:
    cluster.pod("1", "api", "a")
    cluster.count("a", "1", 0, 1000, 50)
    cluster.away.add(gone)
    look(cluster, meter, 0)
    assert meter.uses() == {}
    cluster.away.clear()
    for at, taken in ((10, 1001), (20, 1003)):
        cluster.count("a", "1", at, taken, 50)
        look(cluster, meter, at)
    assert meter.uses()["api"].cores == pytest.approx(0.2)


def test_the_dearest_part_comes_first_and_strangers_do_not_count(cluster: Cluster, meter: Meter) -> None:
    cluster.pod("1", "api", "a")
    cluster.pod("2", "worker", "a")
    for at in (0, 10):
        for uid, share in (("1", 0.1), ("2", 0.5), ("no part of esq", 0.9)):
            cluster.count("a", uid, at, at * share, 50)
        look(cluster, meter, at)
    assert {name: use.cores for name, use in meter.uses().items()} == {"worker": 0.5, "api": 0.1}
    assert list(meter.uses()) == ["worker", "api"]


def test_one_unlimited_container_makes_a_pod_unlimited(cluster: Cluster, meter: Meter) -> None:
    cluster.pod("1", "kafka", "a", ("1Gi", "64Mi"))
    cluster.pod("2", "proxy", "a", ("64Mi", None))
    for at in (0, 10):
        cluster.count("a", "1", at, at, 50)
        cluster.count("a", "2", at, at, 50)
        look(cluster, meter, at)
    uses = meter.uses()
    assert (uses["kafka"].limit, uses["proxy"].limit) == (1088, 0)


def test_what_was_counted_once_says_nothing(cluster: Cluster, meter: Meter) -> None:
    cluster.pod("1", "api", "a")
    cluster.count("a", "1", 0, 10, 50)
    for at in (0, 10):
        look(cluster, meter, at)
    assert meter.uses() == {}


def test_a_pod_without_figures_yet_is_passed_over(cluster: Cluster, meter: Meter) -> None:
    cluster.pod("1", "api", "a")
    cluster.counts["a"] = [{"podRef": {"uid": "1"}, "startTime": stamp(0), "cpu": {"time": stamp(1)}}]
    look(cluster, meter, 10)
    assert meter.uses() == {}
