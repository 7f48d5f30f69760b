"""One flipped bit in a data file of a real store: the scrub finds it and names the place."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from chaos import bit_flipper
from infra.components.component_health import PodUnreachableError
from infra.components.kafka import scrub as kafka
from infra.components.postgres import scrub as postgres
from infra.config_files import kafka as kafka_config
from tests.servers.durable.kafka import DurableKafka
from tests.servers.durable.postgres import DurablePostgres
from tests.servers.durable.store import DurableStore
from tests.servers.kafka import kafka_libraries
from tests.servers.postgres import BINARIES
from tests.servers.powered_disk import PoweredDisk

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from infra.components.component_health import Pod

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


class StorePods:
    """The pods of a store that runs on a disk; its files and ports replace those of the container."""

    def __init__(self, store: DurableStore) -> None:
        self._store = store

    def list_pods(self, name: str) -> Sequence[Pod]:
        raise NotImplementedError

    def get(self, pod: str, port: int, path: str) -> str:
        raise NotImplementedError

    def run(self, _pod: str, _container: str, argv: Sequence[str]) -> str:
        replacements = {
            kafka_config.DATA_DIRECTORY: f"{self._store.data}/data",
            "/opt/kafka/libs": str(kafka_libraries()),
            "--host=/run/postgresql": f"--host=127.0.0.1 --port={self._store.port}",
            "pg_basebackup": str(BINARIES / "pg_basebackup"),
        }
        script = argv[-1]
        for text, replacement in replacements.items():
            script = script.replace(text, replacement)
        command = self._store.disk.command(*argv[:-1], script)
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def test_postgres_names_the_damaged_page(
    disk: PoweredDisk, stores: list[DurableStore], tmp_path: Path
) -> None:
    store = DurablePostgres(disk, tmp_path)
    stores.append(store)
    store.start()
    pods = StorePods(store)
    assert postgres.scrub(pods, "postgres-1") == []
    file, offset, digest = bit_flipper.locate([f"{disk.root}/postgres/base/*/2609"])
    assert bit_flipper.flip(file, offset, digest)
    (damage,) = postgres.scrub(pods, "postgres-1")
    assert damage.location == f"{file.partition('postgres/')[2]}, page {offset // 8192}"
    assert bit_flipper.flip(file, offset, digest, restore=True)
    assert postgres.scrub(pods, "postgres-1") == []


def test_unreadable_postgres_is_no_undamaged_postgres(
    disk: PoweredDisk, stores: list[DurableStore], tmp_path: Path
) -> None:
    store = DurablePostgres(disk, tmp_path)
    stores.append(store)
    store.start()
    store.server.kill()
    with pytest.raises(PodUnreachableError, match="cannot read its data"):
        postgres.scrub(StorePods(store), "postgres-1")


async def test_kafka_names_the_damaged_batch(
    disk: PoweredDisk, stores: list[DurableStore], tmp_path: Path
) -> None:
    store = DurableKafka(disk, tmp_path)
    stores.append(store)
    store.start()
    await store.open()
    for number in range(20):
        await store.write(number)
    await store.close()
    pods = StorePods(store)
    assert kafka.scrub(pods, "kafka-0") == []
    file, offset, digest = bit_flipper.locate([f"{disk.root}/kafka/data/written-*/*.log"])
    assert bit_flipper.flip(file, offset, digest)
    (damage,) = kafka.scrub(pods, "kafka-0")
    assert damage.location == "written-0/00000000000000000000.log, byte 0"
