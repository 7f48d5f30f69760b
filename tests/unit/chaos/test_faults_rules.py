"""Rules that hold for every fault: it has a name, can be written down, and touches its own cluster only."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.faults import Fault, network, pressure, processes, render, zones
from chaos.faults.hosts import HostProcess
from infra.zones.layout import Layout
from infra.zones.spec import ClusterSpec

SPEC = ClusterSpec.model_validate({"name": "paper", "subnet": "10.200.0.0/16"})
LAYOUT = Layout(Path("/state of mine/paper"), "paper")
GROUP = Path("/sys/fs/cgroup/cpu/esq-paper-zone-a")
VICTIM = HostProcess(pid=17, started=4711)

UNDONE = {
    "zone-cut": network.zone_cut(SPEC, "zone-a"),
    "partition": network.partition(SPEC, "zone-a", "zone-b"),
    "one-way-partition": network.one_way_partition(SPEC, "zone-a", "zone-b"),
    "packet-loss": network.packet_loss(SPEC, "zone-a", 12.5),
    "bandwidth-limit": network.bandwidth_limit(SPEC, "zone-a", 20),
    "latency": network.latency(SPEC, LAYOUT, "zone-a", 50, 10),
    "process-freeze": processes.freeze_processes("pod x/y", [VICTIM]),
    "node-death": zones.node_death(LAYOUT, "zone-a"),
    "node-crash": zones.node_crash(LAYOUT, "zone-a"),
    "zone-freeze": zones.zone_freeze(SPEC, "zone-a"),
    "control-plane-outage": zones.control_plane_outage(LAYOUT),
    "dns-failure": zones.dns_failure(LAYOUT, ["zone-a", "zone-b"]),
    "disk-full": pressure.disk_full(LAYOUT, "zone-a", 8),
    "cpu-pressure": pressure.cpu_pressure("zone-a", GROUP, 0.2),
    "memory-pressure": pressure.memory_pressure("pod x/y", GROUP, 1 << 20, 1 << 28),
}


@pytest.mark.parametrize("kind", UNDONE)
def test_every_fault_says_what_it_is_and_how_it_is_undone(kind: str) -> None:
    fault = UNDONE[kind]
    assert fault.kind == kind
    assert fault.target
    assert fault.inject
    assert fault.undo


@pytest.mark.parametrize("kind", UNDONE)
def test_every_fault_survives_being_written_down(kind: str) -> None:
    fault = UNDONE[kind]
    assert Fault.model_validate_json(fault.model_dump_json()) == fault
    assert len(render(fault.undo).splitlines()) >= len(fault.undo)


def test_who_dies_for_good_needs_no_undo() -> None:
    assert processes.kill_processes("pod x/y", [VICTIM]).undo == ()


def test_tables_of_two_faults_and_of_two_clusters_are_different_ones() -> None:
    other = ClusterSpec.model_validate({"name": "paper2", "subnet": "10.201.0.0/16"})
    undone = {
        fault.undo
        for spec in (SPEC, other)
        for fault in (
            network.partition(spec, "zone-a", "zone-b"),
            network.partition(spec, "zone-a", "zone-c"),
            network.one_way_partition(spec, "zone-a", "zone-b"),
            network.one_way_partition(spec, "zone-b", "zone-a"),
            network.packet_loss(spec, "zone-a", 5),
        )
    }
    assert len(undone) == 10
    assert not other.bridge.startswith(SPEC.tables)


def test_a_partition_drops_both_ways_and_a_one_way_partition_one() -> None:
    (both,) = network.partition(SPEC, "zone-a", "zone-b").inject
    (one,) = network.one_way_partition(SPEC, "zone-a", "zone-b").inject
    there, back = 'iifname "paper-1" oifname "paper-2"', 'iifname "paper-2" oifname "paper-1"'
    assert there in both[1]
    assert back in both[1]
    assert there in one[1]
    assert back not in one[1]


def test_a_control_plane_starts_in_its_order_and_stops_in_the_other() -> None:
    fault = zones.control_plane_outage(LAYOUT, ["apiserver", "scheduler", "etcd"])
    assert fault.inject[0][-4:] == ("stop", "scheduler", "apiserver", "etcd")
    assert fault.undo[0][-1].endswith("start etcd apiserver scheduler")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: network.packet_loss(SPEC, "zone-a", 0),
        lambda: network.packet_loss(SPEC, "zone-a", 100.1),
        lambda: network.bandwidth_limit(SPEC, "zone-a", 0),
        lambda: network.latency(SPEC, LAYOUT, "zone-a", 5, 6),
        lambda: network.zone_cut(SPEC, "zone-z"),
        lambda: pressure.disk_full(LAYOUT, "zone-a", -1),
        lambda: pressure.cpu_pressure("zone-a", GROUP, 0.001),
        lambda: pressure.memory_pressure("pod x/y", GROUP, -1),
        lambda: processes.kill_processes("pod x/y", []),
        lambda: zones.control_plane_outage(LAYOUT, ["proxy"]),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_hurt(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(ValueError, match=r"."):
        wrong()
