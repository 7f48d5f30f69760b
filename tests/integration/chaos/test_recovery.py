"""The tool killed (SIGKILL) in the middle of every kind of fault: the timer, or `recover`, undoes it."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from chaos.faults import Fault, hosts, network, pressure, processes
from chaos.faults import zones as zone_faults
from chaos.journal import UndoJournal
from tests.controllers.zones import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.controllers.zones import Zones

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ZONE, OTHER = "zone-b", "zone-c"
UNDONE_SECONDS = 40.0

TOOL = """
import sys, time
from pathlib import Path
from chaos import deadman
from chaos.faults import Fault
from chaos.journal import UndoJournal
from tests.controllers.zones import eventually
journal, how = UndoJournal(Path(sys.argv[1])), sys.argv[2]
fault = Fault.model_validate_json(sys.stdin.read())
if how == "timer":
    deadman.start(journal)
journal.inject(fault, experiment="test", seconds=600)
print("hurt", flush=True)
time.sleep(600)
"""


def faults(zones: Zones, bystander: int) -> dict[str, Fault]:
    """Every kind that leaves something to undo; process `bystander` is frozen in one of them."""
    spec, layout = zones.cluster.spec, zones.cluster.layout
    group = hosts.zone_group(spec, ZONE, "cpu")
    memory = hosts.zone_group(spec, ZONE, "memory")
    frozen = hosts.process(bystander)
    assert frozen is not None
    found = (
        zone_faults.node_death(layout, ZONE),
        zone_faults.zone_freeze(spec, ZONE),
        zone_faults.control_plane_outage(layout, ("scheduler",)),
        zone_faults.dns_failure(layout, (ZONE,)),
        network.zone_cut(spec, ZONE),
        network.partition(spec, ZONE, OTHER),
        network.one_way_partition(spec, ZONE, OTHER),
        network.packet_loss(spec, ZONE, 5),
        network.bandwidth_limit(spec, ZONE, 10),
        network.latency(spec, layout, ZONE, 20),
        processes.freeze_processes("a process of this machine", (frozen,)),
        pressure.disk_full(layout, ZONE, 1),
        pressure.cpu_pressure(ZONE, group, 1.5, hosts.cpu_quota(group)),
        pressure.memory_pressure(ZONE, memory, 256 << 20, hosts.memory_limit(memory)),
    )
    return {fault.kind: fault for fault in found}


@pytest.fixture(scope="module")
def every(zones: Zones) -> Iterator[dict[str, Fault]]:
    with subprocess.Popen(["sleep", "600"]) as bystander:
        yield faults(zones, bystander.pid)
        bystander.kill()


@pytest.fixture
def killed(tmp_path: Path) -> Callable[[Fault, str], UndoJournal]:
    """Does a fault in a process of its own, kills that with SIGKILL, and returns the journal it left."""

    def kill(fault: Fault, how: str) -> UndoJournal:
        journal = UndoJournal(tmp_path / fault.kind)
        tool = subprocess.Popen(
            [sys.executable, "-c", TOOL, str(journal.folder), how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert tool.stdin is not None
        assert tool.stdout is not None
        tool.stdin.write(fault.model_dump_json())
        tool.stdin.close()
        assert tool.stdout.readline() == "hurt\n", fault
        tool.kill()
        tool.wait()
        tool.stdout.close()
        return journal

    return kill


def test_the_timer_undoes_every_kind_unasked(
    zones: Zones, every: dict[str, Fault], killed: Callable[[Fault, str], UndoJournal]
) -> None:
    for kind, fault in every.items():
        journal = killed(fault, "timer")
        said = journal.folder / "deadman.log"
        deadline = time.monotonic() + UNDONE_SECONDS
        while journal.entries() or "undid" not in said.read_text():  # it says so after it has done it
            assert time.monotonic() < deadline, (kind, journal.entries(), said.read_text())
            time.sleep(0.1)
    eventually(lambda: zones.cluster.status().healthy, within=60)


def test_recover_undoes_every_kind(
    zones: Zones, every: dict[str, Fault], killed: Callable[[Fault, str], UndoJournal]
) -> None:
    for kind, fault in every.items():
        journal = killed(fault, "no timer")
        assert len(journal.entries()) == 1, kind
        journal.recover()
        assert journal.entries() == [], kind
    eventually(lambda: zones.cluster.status().healthy, within=60)
