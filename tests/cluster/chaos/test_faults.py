"""Every fault on a real cluster: it has its effect, and after a repeated undo the host is unchanged."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from chaos.faults import (
    Fault,
    host_processes,
    network,
    node_pods,
    pod_stress,
    power_loss,
    processes,
    resource_exhaustion,
)
from chaos.faults import zones as zone_faults
from chaos.pod_location import PodLocation
from infra.progress import RecordingProgress
from infra.zones import disks, wait_for_apiserver
from infra.zones.busybox_image import BUSYBOX_IMAGE
from tests.servers.fault_driver import HostUnderTest, allocate_command, run_in_groups, zone_cgroup
from tests.servers.zones import ZonesUnderTest, seconds_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

RECOVERY_TIMEOUT_SECONDS = 40.0
MEBIBYTE = 1 << 20
BUSY_LOOP = "while :; do :; done"


@dataclass(frozen=True)
class FaultCase:
    """A fault and a check for its effect.

    Attributes:
        fault: returns the fault for a host.
        has_effect: returns whether the fault has its effect.
    """

    fault: Callable[[HostUnderTest], Fault]
    has_effect: Callable[[HostUnderTest], bool]


def zone_a_is_isolated(host: HostUnderTest) -> bool:
    assert host.reaches("zone-b", "zone-c")
    return not host.reaches("zone-b", "zone-a") and not host.reaches("zone-a", "control")


def zones_a_and_b_are_partitioned(host: HostUnderTest) -> bool:
    assert host.reaches("zone-a", "zone-c")
    assert host.reaches("zone-b", "zone-c")
    return not host.reaches("zone-a", "zone-b")


def zone_a_loses_packets(host: HostUnderTest) -> bool:
    assert host.reaches("zone-b", "zone-c", count=20)
    return not all(host.reaches("zone-a", "zone-b") for _ in range(20))


def zone_a_has_low_bandwidth(host: HostUnderTest) -> bool:
    outgoing, incoming = host.megabits("zone-a", "zone-b"), host.megabits("zone-b", "zone-a")
    assert (outgoing < 25) == (incoming < 25), (outgoing, incoming)
    return outgoing < 25


def zone_a_has_latency(host: HostUnderTest) -> bool:
    # The shortest round trip: a busy host adds to the others.
    assert min(host.round_trips("zone-b", "zone-c")) < 15
    return 40 <= min(host.round_trips("zone-a", "zone-b")) < 60


def zone_b_is_frozen(host: HostUnderTest) -> bool:
    try:
        httpx.get(f"http://{host.spec.node('zone-b')}:8053/health", timeout=2)
    except httpx.ReadTimeout:
        return True
    except httpx.TransportError:
        return False
    return False


def api_server_is_down(host: HostUnderTest) -> bool:
    reason = wait_for_apiserver.unavailability_reason(
        str(host.spec.control), wait_for_apiserver.READY_PATH, host.paths.pki, "admin"
    )
    return reason is not None


def dns_of_zone_a_is_down(host: HostUnderTest) -> bool:
    assert host.resolves("zone-c")
    return not host.resolves("zone-a")


def disk_of_zone_a_is_full(host: HostUnderTest) -> bool:
    status = os.statvfs(host.volumes("zone-a"))
    return status.f_bavail * status.f_frsize < 20 * MEBIBYTE


def zone_b_is_throttled(host: HostUnderTest) -> bool:
    """Keep two processes busy in the zone; a busy host takes time from them, but does not throttle the zone."""
    group = zone_cgroup(host.spec, "zone-b", "cpu")
    usage = zone_cgroup(host.spec, "zone-b", "cpuacct") / "cpuacct.usage"

    def throttled_periods() -> int:
        return int(
            dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())["nr_throttled"]
        )

    used, throttled, started_at = int(usage.read_text()), throttled_periods(), time.monotonic()
    run_in_groups([group, usage.parent], "timeout", "1", "sh", "-c", f"({BUSY_LOOP}) & {BUSY_LOOP}")
    if throttled_periods() == throttled:
        return False
    cores = (int(usage.read_text()) - used) / 1e9 / (time.monotonic() - started_at)
    assert cores < 0.3
    return True


CASES = {
    "zone isolation": FaultCase(lambda host: network.zone_isolation(host.spec, "zone-a"), zone_a_is_isolated),
    "partition": FaultCase(
        lambda host: network.partition(host.spec, "zone-a", "zone-b"), zones_a_and_b_are_partitioned
    ),
    "one-way partition": FaultCase(
        lambda host: network.one_way_partition(host.spec, "zone-b", "zone-a"), zones_a_and_b_are_partitioned
    ),
    "packet loss": FaultCase(lambda host: network.packet_loss(host.spec, "zone-a", 40), zone_a_loses_packets),
    "bandwidth": FaultCase(
        lambda host: network.bandwidth_limit(host.spec, "zone-a", 20), zone_a_has_low_bandwidth
    ),
    "latency": FaultCase(
        lambda host: network.latency(host.spec, host.paths, "zone-a", 20), zone_a_has_latency
    ),
    "zone freeze": FaultCase(lambda host: zone_faults.zone_freeze(host.spec, "zone-b"), zone_b_is_frozen),
    "dns": FaultCase(
        lambda host: zone_faults.dns_failure(host.paths, ["zone-a", "zone-b"]), dns_of_zone_a_is_down
    ),
    "disk full": FaultCase(
        lambda host: resource_exhaustion.disk_full(host.paths, "zone-a", 16), disk_of_zone_a_is_full
    ),
    "cpu throttling": FaultCase(
        lambda host: resource_exhaustion.cpu_throttling(
            "zone-b", zone_cgroup(host.spec, "zone-b", "cpu"), 0.2
        ),
        zone_b_is_throttled,
    ),
    "api server": FaultCase(lambda host: zone_faults.control_plane_outage(host.paths), api_server_is_down),
}


@pytest.fixture(autouse=True)
def _healthy_cluster(host: HostUnderTest) -> None:
    """Wait for a cluster without faults."""
    seconds_until(host.is_healthy, timeout=RECOVERY_TIMEOUT_SECONDS)


@pytest.mark.parametrize("name", CASES)
def test_fault_has_effect_until_undone(host: HostUnderTest, name: str) -> None:
    case, before = CASES[name], host.snapshot()
    fault = case.fault(host)
    assert not case.has_effect(host)
    try:
        host.inject(fault)
        assert case.has_effect(host)
    finally:
        host.undo(fault)
    seconds_until(lambda: not case.has_effect(host), timeout=RECOVERY_TIMEOUT_SECONDS)
    assert host.snapshot() == before


@pytest.mark.parametrize("name", ["bandwidth", "latency", "dns"])
def test_partial_injection_is_undone(host: HostUnderTest, name: str) -> None:
    case, before = CASES[name], host.snapshot()
    fault = case.fault(host)
    for commands in range(len(fault.inject)):
        host.inject_partially(fault, commands)
        host.undo(fault)
        seconds_until(lambda: not case.has_effect(host), timeout=RECOVERY_TIMEOUT_SECONDS)
        assert host.snapshot() == before


def test_killed_latency_injector_isolates_the_zone_until_undone(host: HostUnderTest) -> None:
    before, fault = host.snapshot(), network.latency(host.spec, host.paths, "zone-a", 5, 2)
    host.inject(fault)
    assert host.reaches("zone-a", "zone-b", count=5)
    (pidfile,) = host.paths.run.glob("delay-*")
    os.kill(int(pidfile.read_text()), signal.SIGKILL)
    seconds_until(lambda: not host.reaches("zone-a", "zone-b"), timeout=5)
    host.undo(fault)
    assert host.reaches("zone-a", "zone-b")
    assert host.snapshot() == before


def test_dead_node_stays_down_while_its_full_disk_is_emptied(host: HostUnderTest) -> None:
    before = host.snapshot()
    death = zone_faults.node_death(host.paths, "zone-a")
    full_disk = resource_exhaustion.disk_full(host.paths, "zone-a")
    (host.volumes("zone-a") / "kept").write_text("kept")
    host.inject(full_disk)
    with pytest.raises(OSError, match="No space left"):
        (host.volumes("zone-a") / "more").write_bytes(b"x" * MEBIBYTE)
    (host.volumes("zone-a") / "more").unlink()
    host.inject(death)
    host.inject(death)
    assert host.zones.cluster.status().processes["zone-a"] == "STOPPED"
    host.undo(full_disk)
    host.undo(death)
    seconds_until(host.is_healthy, timeout=RECOVERY_TIMEOUT_SECONDS)
    (host.volumes("zone-a") / "kept").unlink()
    assert host.snapshot() == before


def test_crashed_node_restarts_with_its_disk(host: HostUnderTest) -> None:
    before, file = host.snapshot(), host.volumes("zone-b") / "kept"
    file.write_text("kept")
    with file.open("rb") as descriptor:
        os.fsync(descriptor.fileno())
    kubelet = host.zones.pid("kubelet --config=" + str(host.zones.state / "config/zone-b"))
    crash = zone_faults.node_crash(host.paths, "zone-b")
    host.inject(crash)
    seconds = seconds_until(
        lambda: not Path(f"/proc/{kubelet}").exists() and host.is_healthy(), RECOVERY_TIMEOUT_SECONDS
    )
    host.undo(crash)
    assert (host.volumes("zone-b") / "kept").read_text() == "kept"
    (host.volumes("zone-b") / "kept").unlink()
    assert host.snapshot() == before
    host.zones.figures.append(f"zone-b crashed: healthy again after {seconds:.1f} s")


def test_power_loss_of_everything_keeps_what_was_acknowledged(host: HostUnderTest) -> None:
    """A node's disk keeps what was synced and nothing else; etcd keeps what the API server acknowledged."""
    os.sync()  # the files that other tests have deleted would come back
    before, name = host.snapshot(), f"kept-{time.time_ns()}"
    synced, unsynced = host.volumes("zone-a") / "synced", host.volumes("zone-a") / "unsynced"
    synced.write_text("synced")
    with synced.open("rb") as descriptor:
        os.fsync(descriptor.fileno())
    unsynced.write_text("unsynced")
    host.zones.kubectl("create", "configmap", name)
    loss = power_loss.power_loss(host.paths, [*host.spec.zones, disks.CONTROL_PLANE])
    host.inject(loss)
    states = host.zones.cluster.status().processes
    assert {states[program] for program in (*zone_faults.CONTROL_PLANE, *host.spec.zones)} == {"STOPPED"}
    host.undo(loss)
    seconds = seconds_until(host.is_healthy, timeout=RECOVERY_TIMEOUT_SECONDS)
    assert host.zones.get("configmap", name)["metadata"]["name"] == name
    assert (host.volumes("zone-a") / "synced").read_text() == "synced"
    assert not (host.volumes("zone-a") / "unsynced").exists()
    (host.volumes("zone-a") / "synced").unlink()
    assert host.snapshot() == before
    host.zones.figures.append(f"power loss of everything: healthy again after {seconds:.1f} s")


def test_control_plane_stops_and_restarts(host: HostUnderTest) -> None:
    outage = zone_faults.control_plane_outage(host.paths, zone_faults.CONTROL_PLANE)
    host.inject(outage)
    states = host.zones.cluster.status().processes
    assert {states[name] for name in zone_faults.CONTROL_PLANE} == {"STOPPED"}
    assert states["zone-a/kubelet"] == "RUNNING"
    host.undo(outage)
    seconds_until(host.is_healthy, timeout=RECOVERY_TIMEOUT_SECONDS)


def test_processes_of_a_pod_are_frozen_and_killed(host: HostUnderTest) -> None:
    uid, container = host.create_victim("zone-c")
    members = host_processes.processes(host_processes.container_cgroup(uid, container, "memory"))
    main = host_processes.main_process(members)
    assert main is not None
    assert [member.name for member in members] == ["sh", "tail"]

    def states() -> set[str]:
        stats = [Path(f"/proc/{member.pid}/stat").read_text() for member in members]
        return {text.rpartition(") ")[2][0] for text in stats}

    freeze = processes.freeze_processes("victim", members)
    host.inject(freeze)
    seconds_until(lambda: states() == {"T"}, timeout=2)
    host.undo(freeze)
    seconds_until(lambda: states() == {"S"}, timeout=2)
    host.inject(processes.kill_processes("victim", host_processes.processes_named(members, "tail")))
    # the main process waits for `tail` and exits with it
    seconds_until(lambda: host_processes.process(main.pid) is None, timeout=RECOVERY_TIMEOUT_SECONDS)
    host.undo(freeze)
    seconds_until(lambda: victim_restarts(host) == 1, timeout=RECOVERY_TIMEOUT_SECONDS)
    restarted = host_processes.processes(host_processes.pod_cgroup(uid, "memory"))
    host.inject(processes.kill_processes("victim", restarted))
    seconds_until(lambda: all(host_processes.process(member.pid) is None for member in restarted), timeout=5)
    seconds_until(lambda: victim_restarts(host) > 1, timeout=RECOVERY_TIMEOUT_SECONDS)


def victim_restarts(host: HostUnderTest) -> int:
    """Return the number of restarts of the victim; -1 while it is not running."""
    (status,) = host.zones.get("pod", "victim")["status"]["containerStatuses"]
    return int(status["restartCount"]) if "running" in status["state"] else -1


def test_cpu_and_memory_of_a_container_are_limited_until_undone(host: HostUnderTest) -> None:
    uid, container = host.pod_identity(host.zones.get("pod", "victim"))
    cpu, memory = (
        host_processes.container_cgroup(uid, container, controller) for controller in ("cpu", "memory")
    )
    assert cpu is not None
    assert memory is not None
    before = host_processes.cpu_quota(cpu), host_processes.memory_limit(memory)
    assert before == (host_processes.UNLIMITED, 256 * MEBIBYTE)
    throttling = resource_exhaustion.cpu_throttling("victim", cpu, 0.1, before[0])
    pressure = resource_exhaustion.memory_pressure("victim", memory, 8 * MEBIBYTE, before[1])
    assert run_in_groups([memory], *allocate_command(64)) == 0
    host.inject(throttling)
    host.inject(pressure)
    assert host_processes.cpu_quota(cpu) == 10_000
    assert host_processes.memory_limit(memory) < 32 * MEBIBYTE
    assert run_in_groups([memory], *allocate_command(64)) == -signal.SIGKILL
    host.undo(throttling)
    host.undo(pressure)
    assert run_in_groups([memory], *allocate_command(64)) == 0
    assert (host_processes.cpu_quota(cpu), host_processes.memory_limit(memory)) == before


def victim_location(host: HostUnderTest) -> PodLocation:
    pod = host.zones.get("pod", "victim")
    uid, container = host.pod_identity(pod)
    node = pod["spec"]["nodeName"]
    return PodLocation("default", "victim", node, node, uid, {"victim": container}, {"victim": BUSYBOX_IMAGE})


def victim_states(location: PodLocation) -> set[str]:
    """Return the states of the processes in the container of the victim."""
    group = host_processes.container_cgroup(location.uid, location.containers["victim"], "memory")
    states = set()
    for member in host_processes.processes(group) if group is not None else ():
        with suppress(FileNotFoundError, ProcessLookupError):
            states.add(Path(f"/proc/{member.pid}/stat").read_text().rpartition(") ")[2][0])
    return states


def test_busy_loops_run_in_a_container_until_undone(host: HostUnderTest) -> None:
    location = victim_location(host)
    fault = pod_stress.cpu_stress(host.zones.cluster.kubeconfig, location, "victim", 2)
    host.inject(fault)
    seconds_until(lambda: "R" in victim_states(location), timeout=RECOVERY_TIMEOUT_SECONDS)
    host.undo(fault)
    seconds_until(lambda: victim_states(location) <= {"S", "Z"}, timeout=RECOVERY_TIMEOUT_SECONDS)


def test_container_is_frozen_and_killed_through_the_api_server(host: HostUnderTest) -> None:
    kubeconfig, location = host.zones.cluster.kubeconfig, victim_location(host)
    freeze = node_pods.container_freeze(kubeconfig, location, "victim")
    kill = node_pods.container_kill(kubeconfig, location, "victim")
    namespaces = host.zones.get("namespaces")["items"]
    host.inject(freeze)
    assert victim_states(location) == {"T"}
    host.undo(freeze)
    assert victim_states(location) == {"S"}
    host.inject(kill)
    seconds_until(lambda: not victim_states(location), timeout=RECOVERY_TIMEOUT_SECONDS)
    host.undo(kill)
    assert len(host.zones.get("namespaces")["items"]) == len(namespaces)


def test_cluster_with_open_faults_is_removed_completely(host: HostUnderTest, zones: ZonesUnderTest) -> None:
    spec, paths = host.spec, host.paths
    faults = [
        network.latency(spec, paths, "zone-a", 5),
        network.packet_loss(spec, "zone-b", 5),
        network.partition(spec, "zone-a", "zone-c"),
        network.bandwidth_limit(spec, "zone-b", 5),
        resource_exhaustion.disk_full(paths, "zone-a"),
        zone_faults.zone_freeze(spec, "zone-c"),
    ]
    for fault in faults:
        host.inject(fault)
    assert any(line.startswith("loop device") for line in zones.leaked_resources())
    assert disks.disk_file(paths, "zone-a").exists()
    zones.cluster.down(RecordingProgress(), purge=True)
    assert zones.leaked_resources() == []
    for fault in faults:
        host.undo(fault)
    assert zones.leaked_resources() == []
