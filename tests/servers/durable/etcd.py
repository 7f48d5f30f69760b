"""etcd on a disk whose power can be cut."""

from __future__ import annotations

import base64
from contextlib import suppress

import httpx

from infra.zones import control_plane
from infra.zones.paths import ClusterPaths
from tests.servers.durable.store import WRITE_TIMEOUT_SECONDS, DurableStore
from tests.servers.process import free_port


class DurableEtcd(DurableStore):
    """One etcd, through its JSON gateway."""

    name = "etcd"
    _client: httpx.AsyncClient

    def launch(self) -> None:
        """See `DurableStore.launch`."""
        url, peer = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{free_port()}"
        durability = [
            flag for flag in control_plane.etcd_flags(ClusterPaths(self.folder, "test")) if "fsync" in flag
        ]
        self.server.launch(
            self.disk.command(
                "etcd",
                f"--data-dir={self.data}/data",
                f"--listen-client-urls={url}",
                f"--advertise-client-urls={url}",
                f"--listen-peer-urls={peer}",
                "--log-level=warn",
                *durability,
                *([] if self.durable else ["--unsafe-no-fsync"]),
            )
        )

    def ready(self) -> bool:
        """See `DurableStore.ready`."""
        with suppress(httpx.HTTPError):
            return httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=2).is_success
        return False

    async def open(self) -> None:
        """See `DurableStore.open`."""
        limits = httpx.Limits(max_connections=self.writers)
        url = f"http://127.0.0.1:{self.port}/v3/kv/"
        self._client = httpx.AsyncClient(base_url=url, limits=limits, timeout=WRITE_TIMEOUT_SECONDS)

    async def write(self, number: int) -> None:
        """See `DurableStore.write`."""
        key = base64.b64encode(f"n{number}".encode()).decode()
        (await self._client.post("put", json={"key": key, "value": key})).raise_for_status()

    async def stored(self) -> set[int]:
        """See `DurableStore.stored`."""
        first, last = (base64.b64encode(name).decode() for name in (b"n", b"o"))
        query = {"key": first, "range_end": last, "keys_only": True}
        entries = (await self._client.post("range", json=query)).raise_for_status().json().get("kvs", [])
        return {int(base64.b64decode(entry["key"])[1:]) for entry in entries}

    async def close(self) -> None:
        """See `DurableStore.close`."""
        await self._client.aclose()
