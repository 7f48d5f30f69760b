"""The adapters of the port for faults: the same call, in the way of each kind of cluster."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.adapters.embedded import EmbeddedFaults
from chaos.adapters.kubernetes import KubernetesFaults
from chaos.faults import host_processes
from chaos.faults.host_processes import HostProcess
from chaos.pod_location import PodLocation
from infra.zones.paths import ClusterPaths
from infra.zones.spec import ClusterSpec

POD = PodLocation(
    "esq-data", "redis-0", "zone-a", "node-a", "uid", {"redis": "containerd://0123"}, {"redis": "image"}
)
MAIN = HostProcess(pid=10, start_ticks=100, parent_pid=1, name="redis-server")
CHILD = HostProcess(pid=11, start_ticks=200, parent_pid=10, name="sh")


@pytest.fixture
def embedded(spec: ClusterSpec, paths: ClusterPaths, monkeypatch: pytest.MonkeyPatch) -> EmbeddedFaults:
    groups = {"containerd://0123": Path("/sys/fs/cgroup/memory/redis")}
    monkeypatch.setattr(host_processes, "container_cgroup", lambda _, container, __: groups.get(container))
    monkeypatch.setattr(host_processes, "processes", lambda _: [MAIN, CHILD])
    cluster: Any = SimpleNamespace(spec=spec, paths=paths)
    return EmbeddedFaults(cluster)


@pytest.fixture
def kubernetes() -> KubernetesFaults:
    pods = {"zone-a": [POD]}
    return KubernetesFaults(Path("kubeconfig"), lambda zone: pods.get(zone, []))


@pytest.mark.parametrize(("process", "victim"), [("", MAIN), ("sh", CHILD)])
def test_embedded_cluster_kills_a_process_of_this_machine(
    embedded: EmbeddedFaults, process: str, victim: HostProcess
) -> None:
    (command,) = embedded.kill(POD, "redis", process).inject
    assert command[-1] == str(victim)


def test_embedded_cluster_freezes_all_processes_of_a_container(embedded: EmbeddedFaults) -> None:
    (command,) = embedded.freeze(POD, "redis").inject
    assert command[-2:] == (str(MAIN), str(CHILD))


def test_unknown_targets_are_refused(embedded: EmbeddedFaults, kubernetes: KubernetesFaults) -> None:
    other_pod = PodLocation("esq-data", "redis-1", "zone-b", "node-b", "uid", {"redis": "other"}, {})
    with pytest.raises(ValueError, match="does not run on this machine"):
        embedded.freeze(other_pod, "redis")
    with pytest.raises(ValueError, match="expected a process postgres"):
        embedded.kill(POD, "redis", "postgres")
    with pytest.raises(ValueError, match="no pod to isolate"):
        kubernetes.isolate_zone("zone-z")
    with pytest.raises(ValueError, match="name no zones"):
        kubernetes.fail_dns(["zone-a"])


def test_other_clusters_send_signals_from_the_node(kubernetes: KubernetesFaults) -> None:
    for fault in (kubernetes.kill(POD, "redis", ""), kubernetes.freeze(POD, "redis")):
        assert '"nodeName": "node-a"' in fault.inject[0][-2]
        assert '"hostPID": true' in fault.inject[0][-2]


def test_zones_and_dns_fail_in_both(embedded: EmbeddedFaults, kubernetes: KubernetesFaults) -> None:
    for adapter in (embedded, kubernetes):
        assert adapter.isolate_zone("zone-a").target == "zone-a"
        assert adapter.fail_dns([]).kind == "dns-failure"
    assert embedded.fail_dns([]).target == "zone-a, zone-b, zone-c"
