"""Power cuts under real stores: acknowledged writes survive, and without syncs they do not.

`benchmarks/power_loss.py` does the same with 100,000 writes.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING

import pytest

from chaos.faults import Fault, power_loss
from chaos.journal import UndoJournal
from infra.subprocesses import run
from infra.zones.paths import ClusterPaths
from tests.servers.durable.etcd import DurableEtcd
from tests.servers.durable.garage import DurableGarage
from tests.servers.durable.kafka import DurableKafka
from tests.servers.durable.postgres import DurablePostgres
from tests.servers.durable.redis import DurableRedis
from tests.servers.durable.store import DurableStore, stored_after_restart, write_until_power_loss
from tests.servers.powered_disk import PoweredDisk

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

WRITES = {DurablePostgres: 2000, DurableEtcd: 500, DurableKafka: 2000, DurableGarage: 200, DurableRedis: 5000}

DAMAGED_START_TIMEOUT_SECONDS = 15.0
"""A store that lost half of its files may wait forever."""


def test_cut_drops_what_was_not_synced(disk: PoweredDisk) -> None:
    synced, unsynced = disk.root / "synced", disk.root / "unsynced"
    synced.write_text("synced")
    with synced.open() as file:
        os.fsync(file.fileno())
    unsynced.write_text("unsynced")
    disk.cut_power()
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        (disk.root / "later").write_text("later")
    disk.power_off()
    disk.power_on()
    assert (disk.root / "synced").read_text() == "synced"
    assert not (disk.root / "unsynced").exists()


def test_undo_stops_a_machine_that_runs_without_power(
    disk: PoweredDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An injection that is killed after the cut has not stopped it, and a start alone has no effect."""
    monkeypatch.setattr("infra.zones.paths.RUNTIME", tmp_path)
    paths, stopped = ClusterPaths(tmp_path, "paper"), tmp_path / "stopped"
    monkeypatch.setattr(power_loss.disks, "disk_file", lambda _paths, _machine: disk.image)
    monkeypatch.setattr(power_loss, "supervisorctl", lambda *_: ("touch", str(stopped)))
    paths.socket.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as supervisor:
        supervisor.bind(str(paths.socket))
        stop, _ = power_loss.power_loss(paths, ["zone-a"]).undo
        run(stop)
        assert not stopped.exists()
        disk.cut_power()
        run(stop)
        assert stopped.exists()


@pytest.mark.parametrize("kind", [DurablePostgres, DurableEtcd, DurableKafka, DurableGarage])
async def test_acknowledged_writes_survive(
    disk: PoweredDisk, stores: list[DurableStore], tmp_path: Path, kind: type[DurableStore]
) -> None:
    store = kind(disk, tmp_path)
    stores.append(store)
    store.start()
    acknowledged, _ = await write_until_power_loss(store, WRITES[kind])
    lost = acknowledged - await stored_after_restart(store)
    assert len(acknowledged) >= WRITES[kind]
    assert lost == set()


@pytest.mark.parametrize("kind", [DurablePostgres, DurableEtcd, DurableKafka, DurableGarage])
async def test_without_syncs_acknowledged_writes_are_lost(
    disk: PoweredDisk, stores: list[DurableStore], tmp_path: Path, kind: type[DurableStore]
) -> None:
    """The proof that the cut is real: the same writes, and a store that does not sync."""
    store = kind(disk, tmp_path, durable=False)
    stores.append(store)
    store.start()
    acknowledged, _ = await write_until_power_loss(store, WRITES[kind])
    try:
        stored = await stored_after_restart(store, DAMAGED_START_TIMEOUT_SECONDS)
    except (RuntimeError, TimeoutError, OSError):  # it does not even start
        stored = set()
    assert acknowledged - stored


async def test_redis_starts_again_and_loses_only_its_last_writes(
    disk: PoweredDisk, stores: list[DurableStore], tmp_path: Path
) -> None:
    """It syncs every second and may lose what can be rebuilt; it must not lose older writes, or refuse to start."""
    store = DurableRedis(disk, tmp_path)
    stores.append(store)
    store.start()
    acknowledged, _ = await write_until_power_loss(store, WRITES[DurableRedis])
    stored = await stored_after_restart(store)
    lost = acknowledged - stored
    # Writers run concurrently, so that numbers arrive in nearly their order.
    assert all(number > max(stored, default=0) - store.writers for number in lost)


FAULT = Fault(kind="test", target="none", inject=(("true",),), undo=(("true",),))


def entries_after_power_loss(disk: PoweredDisk) -> list[Fault]:
    """Inject a fault, cut the power, and return the faults in the journal afterwards."""
    UndoJournal(disk.root / "chaos" / "open").inject(FAULT, experiment="test", max_seconds=600)
    disk.cut_power()
    disk.power_off()
    disk.power_on()
    return [entry.fault for entry in UndoJournal(disk.root / "chaos" / "open").open_faults()]


def test_undo_journal_survives(disk: PoweredDisk) -> None:
    assert entries_after_power_loss(disk) == [FAULT]


def test_undo_journal_without_syncs_is_lost(disk: PoweredDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    assert entries_after_power_loss(disk) == []
