"""Garage on a disk whose power can be cut."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from infra.components.object_store.pod_programs import layout
from infra.config_files import garage as garage_config
from infra.credentials import ObjectStoreCredentials
from tests.servers.durable.store import DurableStore

if TYPE_CHECKING:
    from tests.servers.powered_disk import PoweredDisk


class DurableGarage(DurableStore):
    """One Garage node with the rendered configuration; a body is larger than what Garage keeps in its metadata."""

    name = "object-store"
    _bucket = "written"
    _body = b"x" * 8192

    def __init__(self, disk: PoweredDisk, folder: Path, *, durable: bool = True) -> None:
        super().__init__(disk, folder, durable=durable)
        self._credentials = ObjectStoreCredentials()
        self._address = "127.{}.{}.9".format(*divmod(self.port, 256))

    def create(self) -> None:
        """See `DurableStore.create`."""
        (self.disk.root / self.name / "meta").mkdir()
        (self.folder / "rpc_secret").write_text(self._credentials.rpc_secret)
        (self.folder / "admin_token").write_text(self._credentials.admin_token)
        node = f"{self._credentials.node_ids[0]}@{self._address}:{garage_config.RPC_PORT}"
        text = garage_config.render_garage_toml([node])
        text = text.replace("127.0.0.1:", f"{self._address}:").replace("0.0.0.0", self._address)  # noqa: S104 - replaced
        text = text.replace("/var/lib/garage", self.data).replace("/etc/esq/secrets", str(self.folder))
        text = text.replace("replication_factor = 3", "replication_factor = 1")
        if not self.durable:
            text = text.replace("_fsync = true", "_fsync = false")
        self._config.write_text(f'rpc_public_addr = "{self._address}:{garage_config.RPC_PORT}"\n{text}')

    def launch(self) -> None:
        """See `DurableStore.launch`; the init container writes the node's key at every start."""
        meta, key = self.disk.root / self.name / "meta", bytes.fromhex(self._credentials.node_keys[0])
        (meta / "node_key").write_bytes(key)
        (meta / "node_key.pub").write_bytes(key[32:])
        self.server.launch(self.disk.command("garage", "-c", str(self._config), "server"))

    def ready(self) -> bool:
        """See `DurableStore.ready`."""
        with suppress(OSError):
            return bool(self._admin().call("GetClusterStatus"))
        return False

    async def open(self) -> None:
        """See `DurableStore.open`."""
        await asyncio.to_thread(self._prepare)
        self._s3: Any = boto3.client(
            "s3",
            endpoint_url=f"http://{self._address}:{garage_config.LOOPBACK_S3_PORT}",
            region_name=garage_config.REGION,
            aws_access_key_id=self._credentials.media_key_id,
            aws_secret_access_key=self._credentials.media_key_secret,
            config=Config(
                s3={"addressing_style": "path"},
                retries={"total_max_attempts": 1},
                max_pool_connections=self.writers,
                connect_timeout=2,
                read_timeout=4,
            ),
        )

    def _prepare(self) -> None:
        layout.apply_layout(self._admin(), {self._credentials.node_ids[0]: "zone-a"}, 1 << 30)
        keys = {self._credentials.media_key_id: self._credentials.media_key_secret}
        layout.ensure_bucket(self._admin(), self._bucket, keys)

    async def write(self, number: int) -> None:
        """See `DurableStore.write`; every body differs, as Garage stores equal blocks once."""
        body = f"{number:08d}".encode() + self._body
        await asyncio.to_thread(self._s3.put_object, Bucket=self._bucket, Key=f"{number:08d}", Body=body)

    async def stored(self) -> set[int]:
        """See `DurableStore.stored`; reads every body, since an entry of a list is no proof of it."""
        return await asyncio.to_thread(self._read_all)

    def _read_all(self) -> set[int]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket)
        keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
        return {int(key) for key in keys if self._is_readable(key)}

    def _is_readable(self, key: str) -> bool:
        with suppress(Exception):  # a block that is missing or damaged
            body = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
            return bool(body == key.encode() + self._body)
        return False

    async def close(self) -> None:
        """See `DurableStore.close`."""
        self._s3.close()

    @property
    def _config(self) -> Path:
        return self.folder / "garage.toml"

    def _admin(self) -> layout.Garage:
        url = f"http://{self._address}:{garage_config.LOOPBACK_ADMIN_PORT}"
        return layout.Garage([url], [self._credentials.admin_token])
