"""Contract of all faults: kind and target, serialisable, undoable, limited to their own cluster."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from chaos.faults import (
    Fault,
    kubernetes,
    network,
    node_pods,
    pod_stress,
    power_loss,
    processes,
    render,
    resource_exhaustion,
    zones,
)
from chaos.faults.host_processes import HostProcess
from chaos.pod_location import PodLocation
from infra.zones.paths import ClusterPaths
from infra.zones.spec import ClusterSpec

SPEC = ClusterSpec.model_validate({"name": "paper", "subnet": "10.200.0.0/16"})
PATHS = ClusterPaths(Path("/state of mine/paper"), "paper")
GROUP = Path("/sys/fs/cgroup/cpu/esq-paper-zone-a")
VICTIM = HostProcess(pid=17, start_ticks=4711)
KUBECONFIG = Path("/state of mine/kubeconfig")
POD = PodLocation(
    "esq-data", "redis-0", "zone-a", "node-a", "uid", {"redis": "containerd://0123"}, {"redis": "image"}
)

UNDOABLE = {
    "node-cordon": kubernetes.node_cordon(KUBECONFIG, "node-a"),
    "node-drain": kubernetes.node_drain(KUBECONFIG, "node-a"),
    "pod-isolation": kubernetes.pod_isolation(KUBECONFIG, "zone-a", [POD]),
    "dns-failure in pods": kubernetes.dns_block(KUBECONFIG),
    "cpu-stress": pod_stress.cpu_stress(KUBECONFIG, POD, "redis", 2),
    "memory-stress": pod_stress.memory_stress(KUBECONFIG, POD, "redis", 1 << 24),
    "process-kill from its node": node_pods.container_kill(KUBECONFIG, POD, "redis"),
    "process-freeze from its node": node_pods.container_freeze(KUBECONFIG, POD, "redis"),
    "zone-isolation": network.zone_isolation(SPEC, "zone-a"),
    "partition": network.partition(SPEC, "zone-a", "zone-b"),
    "one-way-partition": network.one_way_partition(SPEC, "zone-a", "zone-b"),
    "packet-loss": network.packet_loss(SPEC, "zone-a", 12.5),
    "bandwidth-limit": network.bandwidth_limit(SPEC, "zone-a", 20),
    "latency": network.latency(SPEC, PATHS, "zone-a", 50, 10),
    "process-freeze": processes.freeze_processes("pod x/y", [VICTIM]),
    "node-death": zones.node_death(PATHS, "zone-a"),
    "node-crash": zones.node_crash(PATHS, "zone-a"),
    "zone-freeze": zones.zone_freeze(SPEC, "zone-a"),
    "control-plane-outage": zones.control_plane_outage(PATHS),
    "dns-failure": zones.dns_failure(PATHS, ["zone-a", "zone-b"]),
    "power-loss": power_loss.power_loss(PATHS, ["zone-a", "control"]),
    "disk-full": resource_exhaustion.disk_full(PATHS, "zone-a", 8),
    "cpu-throttling": resource_exhaustion.cpu_throttling("zone-a", GROUP, 0.2),
    "memory-pressure": resource_exhaustion.memory_pressure("pod x/y", GROUP, 1 << 20, 1 << 28),
}


@pytest.mark.parametrize("kind", UNDOABLE)
def test_fault_has_kind_target_and_undo(kind: str) -> None:
    fault = UNDOABLE[kind]
    assert fault.kind == kind.partition(" ")[0]
    assert fault.target
    assert fault.inject
    assert fault.undo


@pytest.mark.parametrize("kind", UNDOABLE)
def test_fault_survives_serialisation(kind: str) -> None:
    fault = UNDOABLE[kind]
    assert Fault.model_validate_json(fault.model_dump_json()) == fault
    assert len(render(fault.undo).splitlines()) >= len(fault.undo)


def test_container_without_an_id_is_no_target_of_signals() -> None:
    """An empty id would match every process of the node."""
    ended = replace(POD, containers={"redis": ""})
    with pytest.raises(ValueError, match="has no id"):
        node_pods.container_freeze(KUBECONFIG, ended, "redis")


def test_kill_and_deletion_have_no_undo() -> None:
    assert processes.kill_processes("pod x/y", [VICTIM]).undo == ()
    assert kubernetes.pod_delete(KUBECONFIG, POD).undo == ()


def test_nftables_tables_differ_by_fault_and_cluster() -> None:
    other = ClusterSpec.model_validate({"name": "paper2", "subnet": "10.201.0.0/16"})
    undo_commands = {
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
    assert len(undo_commands) == 10
    assert not other.bridge.startswith(SPEC.nftables_prefix)


def test_partition_drops_both_directions_and_one_way_partition_one() -> None:
    (both_directions,) = network.partition(SPEC, "zone-a", "zone-b").inject
    (one_direction,) = network.one_way_partition(SPEC, "zone-a", "zone-b").inject
    outgoing = 'iifname "esq-paper-1" oifname "esq-paper-2"'
    incoming = 'iifname "esq-paper-2" oifname "esq-paper-1"'
    assert outgoing in both_directions[1]
    assert incoming in both_directions[1]
    assert outgoing in one_direction[1]
    assert incoming not in one_direction[1]


def test_power_loss_cuts_all_disks_before_it_stops_any_machine() -> None:
    """One program opens all disks first, so that they stop at the same moment."""
    cut, stop = power_loss.power_loss(PATHS, ["zone-a", "zone-b", "control"]).inject
    mounts, program = cut[-1].rsplit("; ", 1)
    for disk in ("nodes/zone-a/volumes.img", "nodes/zone-b/volumes.img", "etcd.img"):
        assert f"mount -o loop '{PATHS.root}/{disk}' /mnt/" in mounts
    assert program.endswith("power_cut.py /mnt/0 /mnt/1 /mnt/2")
    assert stop[-7:] == ("stop", "zone-b", "zone-a", "scheduler", "controller-manager", "apiserver", "etcd")


def test_power_loss_of_a_zone_leaves_the_control_plane() -> None:
    fault = power_loss.power_loss(PATHS, ["zone-c"])
    assert fault.inject[1][-2:] == ("stop", "zone-c")
    assert fault.undo[0][-1].endswith(" stop zone-c")
    assert fault.undo[-1][-1].endswith(" start zone-c")
    assert "etcd.img" not in fault.inject[0][-1]


def test_control_plane_stops_in_reverse_start_order() -> None:
    fault = zones.control_plane_outage(PATHS, ["apiserver", "scheduler", "etcd"])
    assert fault.inject[0][-4:] == ("stop", "scheduler", "apiserver", "etcd")
    assert fault.undo[0][-1].endswith("start etcd apiserver scheduler")


@pytest.mark.parametrize(
    "build",
    [
        lambda: network.packet_loss(SPEC, "zone-a", 0),
        lambda: network.packet_loss(SPEC, "zone-a", 100.1),
        lambda: network.bandwidth_limit(SPEC, "zone-a", 0),
        lambda: network.latency(SPEC, PATHS, "zone-a", 5, 6),
        lambda: network.zone_isolation(SPEC, "zone-z"),
        lambda: resource_exhaustion.disk_full(PATHS, "zone-a", -1),
        lambda: resource_exhaustion.cpu_throttling("zone-a", GROUP, 0.001),
        lambda: resource_exhaustion.memory_pressure("pod x/y", GROUP, -1),
        lambda: processes.kill_processes("pod x/y", []),
        lambda: zones.control_plane_outage(PATHS, ["proxy"]),
        lambda: kubernetes.pod_isolation(KUBECONFIG, "zone-a", []),
        lambda: pod_stress.cpu_stress(KUBECONFIG, POD, "redis", 0),
        lambda: pod_stress.memory_stress(KUBECONFIG, POD, "redis", -1),
        lambda: POD.main_container("sentinel"),
    ],
)
def test_invalid_arguments_are_rejected_before_the_injection(build: object) -> None:
    assert callable(build)
    with pytest.raises(ValueError, match=r"."):
        build()
