"""Every fault on a real cluster: it hurts what it says, and undone, twice, the machine is as it was."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from chaos.faults import Fault, hosts, network, pressure, processes
from chaos.faults import zones as zone_faults
from infra.progress import RecordingProgress
from infra.zones import disks, wait
from tests.controllers.faults import Machine, allocate, in_group
from tests.controllers.zones import Zones, eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

BACK_SECONDS = 40.0
MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Case:
    """A fault, and who can tell whether it hurts.

    Attributes:
        fault: made for a machine.
        hurts: asked after it was injected, and after it was undone.
    """

    fault: Callable[[Machine], Fault]
    hurts: Callable[[Machine], bool]


def cut_off(machine: Machine) -> bool:
    assert machine.reaches("zone-b", "zone-c")
    return not machine.reaches("zone-b", "zone-a") and not machine.reaches("zone-a", "control")


def parted(machine: Machine) -> bool:
    assert machine.reaches("zone-a", "zone-c")
    assert machine.reaches("zone-b", "zone-c")
    return not machine.reaches("zone-a", "zone-b")


def lossy(machine: Machine) -> bool:
    assert machine.reaches("zone-b", "zone-c", count=20)
    return not machine.reaches("zone-a", "zone-b", count=20)


def narrow(machine: Machine) -> bool:
    there, back = machine.megabits("zone-a", "zone-b"), machine.megabits("zone-b", "zone-a")
    assert (there < 25) == (back < 25), (there, back)
    return there < 25


def slow(machine: Machine) -> bool:
    assert statistics.median(machine.round_trips("zone-b", "zone-c")) < 15
    median = statistics.median(machine.round_trips("zone-a", "zone-b"))
    return 40 <= median < 60


def frozen(machine: Machine) -> bool:
    try:
        httpx.get(f"http://{machine.spec.node('zone-b')}:8053/health", timeout=0.5)
    except httpx.ReadTimeout:
        return True
    except httpx.TransportError:
        return False
    return False


def without_api(machine: Machine) -> bool:
    return wait.refusal(str(machine.spec.control), wait.READY, machine.layout.pki, "admin") is not None


def nameless(machine: Machine) -> bool:
    assert machine.resolves("zone-c")
    return not machine.resolves("zone-a")


def full(machine: Machine) -> bool:
    room = os.statvfs(machine.volumes("zone-a"))
    return room.f_bavail * room.f_frsize < 20 * MEBIBYTE


def starved(machine: Machine) -> bool:
    group = hosts.zone_group(machine.spec, "zone-b", "cpu")
    spent = hosts.zone_group(machine.spec, "zone-b", "cpuacct") / "cpuacct.usage"
    before, begun = int(spent.read_text()), time.monotonic()
    in_group([group, spent.parent], "timeout", "1", "sh", "-c", "while :; do :; done")
    return (int(spent.read_text()) - before) / 1e9 / (time.monotonic() - begun) < 0.3


CASES = {
    "zone cut": Case(lambda m: network.zone_cut(m.spec, "zone-a"), cut_off),
    "partition": Case(lambda m: network.partition(m.spec, "zone-a", "zone-b"), parted),
    "one way": Case(lambda m: network.one_way_partition(m.spec, "zone-b", "zone-a"), parted),
    "loss": Case(lambda m: network.packet_loss(m.spec, "zone-a", 40), lossy),
    "bandwidth": Case(lambda m: network.bandwidth_limit(m.spec, "zone-a", 20), narrow),
    "latency": Case(lambda m: network.latency(m.spec, m.layout, "zone-a", 20), slow),
    "zone freeze": Case(lambda m: zone_faults.zone_freeze(m.spec, "zone-b"), frozen),
    "dns": Case(lambda m: zone_faults.dns_failure(m.layout, ["zone-a", "zone-b"]), nameless),
    "disk full": Case(lambda m: pressure.disk_full(m.layout, "zone-a", 16), full),
    "cpu": Case(
        lambda m: pressure.cpu_pressure("zone-b", hosts.zone_group(m.spec, "zone-b", "cpu"), 0.2), starved
    ),
    "api server": Case(lambda m: zone_faults.control_plane_outage(m.layout), without_api),
}


@pytest.fixture(autouse=True)
def _whole(machine: Machine) -> None:
    """Begin with a cluster that nothing is hurt of."""
    eventually(machine.whole, within=BACK_SECONDS)


@pytest.mark.parametrize("name", CASES)
def test_a_fault_hurts_until_it_is_undone(machine: Machine, name: str) -> None:
    case, before = CASES[name], machine.picture()
    fault = case.fault(machine)
    assert not case.hurts(machine)
    try:
        machine.hurt(fault)
        assert case.hurts(machine)
    finally:
        machine.heal(fault)
    eventually(lambda: not case.hurts(machine), within=BACK_SECONDS)
    assert machine.picture() == before


@pytest.mark.parametrize("name", ["bandwidth", "latency", "dns"])
def test_a_fault_is_undone_when_its_injection_was_killed_half_way(machine: Machine, name: str) -> None:
    case, before = CASES[name], machine.picture()
    fault = case.fault(machine)
    for commands in range(len(fault.inject)):
        machine.die_after(fault, commands)
        machine.heal(fault)
        eventually(lambda: not case.hurts(machine), within=BACK_SECONDS)
        assert machine.picture() == before


def test_a_killed_delay_line_cuts_the_zone_off_until_it_is_undone(machine: Machine) -> None:
    before, fault = machine.picture(), network.latency(machine.spec, machine.layout, "zone-a", 5, 2)
    machine.hurt(fault)
    assert machine.reaches("zone-a", "zone-b", count=5)
    (pidfile,) = machine.layout.run.glob("delay-*")
    os.kill(int(pidfile.read_text()), signal.SIGKILL)
    eventually(lambda: not machine.reaches("zone-a", "zone-b"), within=5)
    machine.heal(fault)
    assert machine.reaches("zone-a", "zone-b")
    assert machine.picture() == before


def test_a_dead_node_stays_dead_and_its_full_disk_is_emptied_meanwhile(machine: Machine) -> None:
    before = machine.picture()
    death = zone_faults.node_death(machine.layout, "zone-a")
    ballast = pressure.disk_full(machine.layout, "zone-a")
    (machine.volumes("zone-a") / "kept").write_text("kept")
    machine.hurt(ballast)
    with pytest.raises(OSError, match="No space left"):
        (machine.volumes("zone-a") / "more").write_bytes(b"x" * MEBIBYTE)
    (machine.volumes("zone-a") / "more").unlink()
    machine.hurt(death)
    machine.hurt(death)
    assert machine.zones.cluster.status().processes["zone-a"] == "STOPPED"
    machine.heal(ballast)
    machine.heal(death)
    eventually(machine.whole, within=BACK_SECONDS)
    (machine.volumes("zone-a") / "kept").unlink()
    assert machine.picture() == before


def test_a_crashed_node_is_back_at_once_with_its_disk(machine: Machine) -> None:
    before, kept = machine.picture(), machine.volumes("zone-b") / "kept"
    kept.write_text("kept")
    with kept.open("rb") as file:
        os.fsync(file.fileno())
    kubelet = machine.zones.pid("kubelet --config=" + str(machine.zones.state / "config/zone-b"))
    crash = zone_faults.node_crash(machine.layout, "zone-b")
    machine.hurt(crash)
    seconds = eventually(lambda: not Path(f"/proc/{kubelet}").exists() and machine.whole(), BACK_SECONDS)
    machine.heal(crash)
    assert (machine.volumes("zone-b") / "kept").read_text() == "kept"
    (machine.volumes("zone-b") / "kept").unlink()
    assert machine.picture() == before
    machine.zones.figures.append(f"zone-b crashed: whole again after {seconds:.1f} s")


def test_the_whole_control_plane_goes_and_comes_back(machine: Machine) -> None:
    outage = zone_faults.control_plane_outage(machine.layout, zone_faults.CONTROL_PLANE)
    machine.hurt(outage)
    states = machine.zones.cluster.status().processes
    assert {states[name] for name in zone_faults.CONTROL_PLANE} == {"STOPPED"}
    assert states["zone-a/kubelet"] == "RUNNING"
    machine.heal(outage)
    eventually(machine.whole, within=BACK_SECONDS)


def test_processes_of_a_pod_are_frozen_and_killed(machine: Machine) -> None:
    uid, container = machine.victim("zone-c")
    found = hosts.processes(hosts.container_group(uid, container, "memory"))
    main = hosts.main_process(found)
    assert main is not None
    assert [each.name for each in found] == ["sh", "tail"]

    def states() -> set[str]:
        stats = [Path(f"/proc/{each.pid}/stat").read_text() for each in found]
        return {text.rpartition(") ")[2][0] for text in stats}

    freeze = processes.freeze_processes("victim", found)
    machine.hurt(freeze)
    eventually(lambda: states() == {"T"}, within=2)
    machine.heal(freeze)
    eventually(lambda: states() == {"S"}, within=2)
    machine.hurt(processes.kill_processes("victim", hosts.named(found, "tail")))
    eventually(lambda: hosts.process(main.pid) is None, within=BACK_SECONDS)  # it waited for that one only
    machine.heal(freeze)
    eventually(lambda: restarts(machine) == 1, within=BACK_SECONDS)
    again = hosts.processes(hosts.pod_group(uid, "memory"))
    machine.hurt(processes.kill_processes("victim", again))
    eventually(lambda: all(hosts.process(each.pid) is None for each in again), within=5)
    eventually(lambda: restarts(machine) > 1, within=BACK_SECONDS)


def restarts(machine: Machine) -> int:
    """Return how often the victim was started again and runs."""
    (status,) = machine.zones.get("pod", "victim")["status"]["containerStatuses"]
    return int(status["restartCount"]) if "running" in status["state"] else -1


def test_a_container_gets_less_processor_and_memory_until_it_is_undone(machine: Machine) -> None:
    uid, container = machine.identity(machine.zones.get("pod", "victim"))
    cpu, memory = (hosts.container_group(uid, container, each) for each in ("cpu", "memory"))
    assert cpu is not None
    assert memory is not None
    before = hosts.cpu_quota(cpu), hosts.memory_limit(memory)
    assert before == (hosts.UNLIMITED, 256 * MEBIBYTE)
    slow_down = pressure.cpu_pressure("victim", cpu, 0.1, before[0])
    squeeze = pressure.memory_pressure("victim", memory, 8 * MEBIBYTE, before[1])
    assert in_group([memory], *allocate(64)) == 0
    machine.hurt(slow_down)
    machine.hurt(squeeze)
    assert hosts.cpu_quota(cpu) == 10_000
    assert hosts.memory_limit(memory) < 32 * MEBIBYTE
    assert in_group([memory], *allocate(64)) == -signal.SIGKILL
    machine.heal(slow_down)
    machine.heal(squeeze)
    assert in_group([memory], *allocate(64)) == 0
    assert (hosts.cpu_quota(cpu), hosts.memory_limit(memory)) == before


def test_taking_a_hurt_cluster_down_leaves_nothing(machine: Machine, zones: Zones) -> None:
    spec, layout = machine.spec, machine.layout
    faults = [
        network.latency(spec, layout, "zone-a", 5),
        network.packet_loss(spec, "zone-b", 5),
        network.partition(spec, "zone-a", "zone-c"),
        network.bandwidth_limit(spec, "zone-b", 5),
        pressure.disk_full(layout, "zone-a"),
        zone_faults.zone_freeze(spec, "zone-c"),
    ]
    for fault in faults:
        machine.hurt(fault)
    assert any(line.startswith("loop device") for line in zones.leftovers())
    assert disks.image(layout, "zone-a").exists()
    zones.cluster.down(RecordingProgress(), purge=True)
    assert zones.leftovers() == []
    for fault in faults:
        machine.heal(fault)
    assert zones.leftovers() == []
