"""Power cuts under real stores: acknowledged writes that are lost, and what the syncs cost.

    benchmarks/power_loss.py [--writes 100000] [--store kafka] [--unsafe]

Each store of `tests.servers.durable` runs on a disk of its own, with the durability settings of the
platform. Concurrent writers write until their share is acknowledged, and go on while the power is cut. The
store starts again from its disk, and every acknowledged write is looked up. With `--unsafe` the stores do not
sync: the rates show the cost of the syncs, and the losses show that the cut is real.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers.durable.etcd import DurableEtcd
from tests.servers.durable.garage import DurableGarage
from tests.servers.durable.kafka import DurableKafka
from tests.servers.durable.postgres import DurablePostgres
from tests.servers.durable.redis import DurableRedis
from tests.servers.durable.store import stored_after_restart, write_until_power_loss
from tests.servers.powered_disk import PoweredDisk

if TYPE_CHECKING:
    from tests.servers.durable.store import DurableStore

SHARES = {"postgres": 0.3, "etcd": 0.1, "kafka": 0.5, "object-store": 0.02, "redis": 0.08}
"""Share of the writes by store; objects are slow to write, records are not."""
DAMAGED_START_TIMEOUT_SECONDS = 30.0


async def measure(kind: type[DurableStore], writes: int, folder: Path, *, durable: bool) -> dict[str, object]:
    """Return the result of one store.

    Args:
        kind: the store.
        writes: acknowledged writes before the cut.
        folder: for the disk and the logs.
        durable: whether the store syncs.
    """
    with PoweredDisk(folder) as disk:
        store = kind(disk, folder, durable=durable)
        try:
            store.start()
            acknowledged, rate = await write_until_power_loss(store, writes)
            started_at, problem = time.monotonic(), ""
            try:
                stored = await stored_after_restart(store, DAMAGED_START_TIMEOUT_SECONDS)
            except (RuntimeError, TimeoutError, OSError) as error:
                stored, problem = set(), str(error).partition("\n")[0]
        finally:
            store.server.kill()
    return {
        "acknowledged": len(acknowledged),
        "lost": len(acknowledged - stored),
        "writes_per_second": round(rate),
        "seconds_until_read": round(time.monotonic() - started_at, 1),
        **({"problem": problem} if problem else {}),
    }


def main() -> None:
    """Print the results as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--writes", type=int, default=100_000, help="acknowledged writes of all stores")
    parser.add_argument("--store", choices=sorted(SHARES), action="append", help="stores; all by default")
    parser.add_argument("--unsafe", action="store_true", help="do not sync")
    arguments = parser.parse_args()
    results: dict[str, object] = {}
    for kind in (DurablePostgres, DurableEtcd, DurableKafka, DurableGarage, DurableRedis):
        if kind.name not in (arguments.store or SHARES):
            continue
        writes = round(arguments.writes * SHARES[kind.name])
        with tempfile.TemporaryDirectory(prefix="esq-power-") as folder:
            results[kind.name] = asyncio.run(
                measure(kind, writes, Path(folder), durable=not arguments.unsafe)
            )
        json.dump({kind.name: results[kind.name]}, sys.stdout)
        sys.stdout.write("\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
