"""Rollback of every kind of fault after SIGKILL: by the watchdog in its injection, by `rollback` after it."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chaos.faults import Fault, host_processes, network, power_loss, processes, resource_exhaustion
from chaos.faults import zones as zone_faults
from chaos.journal import UndoJournal
from chaos.journal_entry import FaultState
from tests.servers.fault_driver import zone_cgroup
from tests.servers.zones import seconds_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.servers.fault_driver import HostUnderTest
    from tests.servers.zones import ZonesUnderTest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ZONE, OTHER_ZONE = "zone-b", "zone-c"
UNDO_TIMEOUT_SECONDS = 40.0

INJECT_AND_SLEEP = """
import sys, time
from pathlib import Path
from chaos import watchdog
from chaos.faults import Fault
from chaos.journal import UndoJournal
journal, mode = UndoJournal(Path(sys.argv[1])), sys.argv[2]
fault = Fault.model_validate_json(sys.stdin.read())
if mode == "watchdog":
    watchdog.start(journal)
journal.inject(fault, experiment="test", max_seconds=600)
print("injected", flush=True)
time.sleep(600)
"""


def undoable_faults(zones: ZonesUnderTest, bystander: int) -> dict[str, Fault]:
    """Return every kind of fault that has an undo; one of them freezes the process `bystander`."""
    spec, paths = zones.cluster.spec, zones.cluster.paths
    cpu = zone_cgroup(spec, ZONE, "cpu")
    memory = zone_cgroup(spec, ZONE, "memory")
    process = host_processes.process(bystander)
    assert process is not None
    faults = (
        zone_faults.node_death(paths, ZONE),
        power_loss.power_loss(paths, (OTHER_ZONE,)),
        zone_faults.zone_freeze(spec, ZONE),
        zone_faults.control_plane_outage(paths, ("scheduler",)),
        zone_faults.dns_failure(paths, (ZONE,)),
        network.zone_isolation(spec, ZONE),
        network.partition(spec, ZONE, OTHER_ZONE),
        network.one_way_partition(spec, ZONE, OTHER_ZONE),
        network.packet_loss(spec, ZONE, 5),
        network.bandwidth_limit(spec, ZONE, 10),
        network.latency(spec, paths, ZONE, 20),
        processes.freeze_processes("a process of this host", (process,)),
        resource_exhaustion.disk_full(paths, ZONE, 1),
        resource_exhaustion.cpu_throttling(ZONE, cpu, 1.5, host_processes.cpu_quota(cpu)),
        resource_exhaustion.memory_pressure(ZONE, memory, 256 << 20, host_processes.memory_limit(memory)),
    )
    return {fault.kind: fault for fault in faults}


@pytest.fixture(scope="module")
def all_faults(zones: ZonesUnderTest) -> Iterator[dict[str, Fault]]:
    """Every kind of fault that has an undo."""
    with subprocess.Popen(["sleep", "600"]) as bystander:
        yield undoable_faults(zones, bystander.pid)
        bystander.kill()


@pytest.fixture
def inject_and_kill(tmp_path: Path) -> Callable[[Fault, str], UndoJournal]:
    """Inject a fault in another process, kill that with SIGKILL, and return its journal.

    With a watchdog, it is killed while a command of the injection runs, or just after a short one.
    """

    def inject(fault: Fault, mode: str) -> UndoJournal:
        journal = UndoJournal(tmp_path / fault.kind)
        process = subprocess.Popen(
            [sys.executable, "-c", INJECT_AND_SLEEP, str(journal.folder), mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(fault.model_dump_json())
        process.stdin.close()
        if mode == "watchdog":
            wait_for_command(journal)
        else:
            assert process.stdout.readline() == "injected\n", fault
        process.kill()
        process.wait()
        process.stdout.close()
        return journal

    return inject


def wait_for_command(journal: UndoJournal) -> None:
    """Wait until a command of the injection runs, or all have ended."""
    deadline = time.monotonic() + UNDO_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        for entry in journal.open_faults():
            if entry.state is FaultState.OPEN or has_process(entry.id):
                return
        time.sleep(0.001)
    raise TimeoutError(f"no injection within {UNDO_TIMEOUT_SECONDS:g} s: {journal.folder}")


def has_process(mark: str) -> bool:
    """Return whether a process has a mark in its environment."""
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark.encode() in environment.read_bytes():
                return True
    return False


def test_watchdog_undoes_every_kind_of_fault_in_its_injection(
    zones: ZonesUnderTest,
    host: HostUnderTest,
    all_faults: dict[str, Fault],
    inject_and_kill: Callable[[Fault, str], UndoJournal],
) -> None:
    before = host.snapshot()
    for kind, fault in all_faults.items():
        journal = inject_and_kill(fault, "watchdog")
        log = journal.folder / "watchdog.log"
        deadline = time.monotonic() + UNDO_TIMEOUT_SECONDS
        while journal.open_faults() or "undid" not in log.read_text():  # logged after the undo
            assert time.monotonic() < deadline, (kind, journal.open_faults(), log.read_text())
            time.sleep(0.1)
    seconds_until(lambda: zones.cluster.status().healthy, timeout=60)
    assert host.snapshot() == before


def test_rollback_undoes_every_kind_of_fault(
    zones: ZonesUnderTest,
    all_faults: dict[str, Fault],
    inject_and_kill: Callable[[Fault, str], UndoJournal],
) -> None:
    for kind, fault in all_faults.items():
        journal = inject_and_kill(fault, "none")
        assert len(journal.open_faults()) == 1, kind
        journal.rollback()
        assert journal.open_faults() == [], kind
    seconds_until(lambda: zones.cluster.status().healthy, timeout=60)
