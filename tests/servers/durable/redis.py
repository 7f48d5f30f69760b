"""Redis on a disk whose power can be cut."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import redis.asyncio

from infra.config_files import redis as redis_config
from tests.servers.durable.store import SETTLE_SECONDS, WRITE_TIMEOUT_SECONDS, DurableStore


class DurableRedis(DurableStore):
    """One Redis, which loses the last moments by declaration: all of its data can be rebuilt."""

    name = "redis"
    _client: redis.asyncio.Redis

    def launch(self) -> None:
        """See `DurableStore.launch`."""
        rendered = redis_config.render_redis_conf(maxmemory="64mb").splitlines()
        durability = [line for line in rendered if line.startswith(("append", "save"))]
        options = [f"port {self.port}", "bind 127.0.0.1", f"dir {self.data}", *durability]
        config = self.folder / "redis.conf"
        config.write_text("\n".join(options) + "\n")
        script = redis_config.render_start_script().replace(redis_config.CONFIG_FILE, str(config))
        script = script.replace(f"log={redis_config.DATA_DIRECTORY}", f"log={self.data}")
        self.server.launch(self.disk.command("sh", "-c", script))

    async def open(self) -> None:
        """See `DurableStore.open`."""
        self._client = redis.asyncio.Redis(port=self.port, socket_timeout=WRITE_TIMEOUT_SECONDS)
        while True:  # it answers `LOADING` at first
            with suppress(redis.asyncio.BusyLoadingError):
                await self._client.ping()
                return
            await asyncio.sleep(SETTLE_SECONDS)

    async def write(self, number: int) -> None:
        """See `DurableStore.write`."""
        await self._client.set(f"n{number}", number)

    async def stored(self) -> set[int]:
        """See `DurableStore.stored`."""
        return {int(key[1:]) async for key in self._client.scan_iter("n*", count=1000)}

    async def close(self) -> None:
        """See `DurableStore.close`."""
        await self._client.aclose()
