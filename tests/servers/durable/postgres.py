"""Postgres on a disk whose power can be cut."""

from __future__ import annotations

import asyncio
import os
import subprocess

import asyncpg

from infra.subprocesses import run
from tests.servers.durable.store import SETTLE_SECONDS, START_TIMEOUT_SECONDS, DurableStore
from tests.servers.postgres import BINARIES, unprivileged_uid


class DurablePostgres(DurableStore):
    """One Postgres; its settings are its defaults, of which the platform changes none that concern syncs."""

    name = "postgres"
    _pool: asyncpg.Pool

    def create(self) -> None:
        """See `DurableStore.create`."""
        uid = unprivileged_uid()
        if uid is not None:
            os.chown(self.disk.root / self.name, uid, uid)
        options = ["-D", self.data, "-U", "postgres", "-A", "trust", "--data-checksums", "-E", "UTF8"]
        run(self.disk.command(str(BINARIES / "initdb"), *options, uid=uid))

    def launch(self) -> None:
        """See `DurableStore.launch`."""
        options = ["-D", self.data, "-p", str(self.port), "-h", "127.0.0.1", "-k", ""]
        options += [] if self.durable else ["-c", "fsync=off"]
        self.server.launch(
            self.disk.command(str(BINARIES / "postgres"), *options, uid=unprivileged_uid()),
            env=os.environ | {"PGDATA": self.data},
        )

    def ready(self) -> bool:
        """See `DurableStore.ready`."""
        command = [str(BINARIES / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False, timeout=START_TIMEOUT_SECONDS).returncode == 0

    async def open(self) -> None:
        """See `DurableStore.open`."""
        url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        self._pool = await asyncpg.create_pool(url, min_size=0, max_size=self.writers)
        await self._pool.execute("CREATE TABLE IF NOT EXISTS written (number bigint PRIMARY KEY)")

    async def write(self, number: int) -> None:
        """See `DurableStore.write`."""
        await self._pool.execute("INSERT INTO written VALUES ($1)", number)

    async def stored(self) -> set[int]:
        """See `DurableStore.stored`."""
        return {row["number"] for row in await self._pool.fetch("SELECT number FROM written")}

    async def close(self) -> None:
        """See `DurableStore.close`."""
        self._pool.terminate()
        await asyncio.sleep(SETTLE_SECONDS)  # the loop closes the sockets
