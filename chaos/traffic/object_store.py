"""Traffic through the object store: writes and reads small objects with a third-party S3 client."""

from __future__ import annotations

import asyncio
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from chaos.traffic.open_loop import Stream, StreamLog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from chaos.traffic.client import Endpoints

_THREADS = 24
_BODY = b"x" * 512
_SETTINGS = Config(
    connect_timeout=1,
    read_timeout=2,
    # A retry would hide the failure of the first attempt.
    retries={"total_max_attempts": 1},
    s3={"addressing_style": "path"},
    max_pool_connections=_THREADS,
)


class ObjectStoreTraffic:
    """Client of the object store."""

    passive: Sequence[StreamLog] = ()

    def __init__(self, endpoints: Endpoints) -> None:
        store = endpoints.object_store
        self._bucket, self._prefix = store["bucket"], f"esq-chaos/{endpoints.run_name}/"
        self._folder = tempfile.TemporaryDirectory(prefix="esq-traffic-")
        ca_file = Path(self._folder.name) / "ca.crt"
        ca_file.write_text(endpoints.ca_certificate)
        self._s3: Any = boto3.client(
            "s3",
            endpoint_url=store["url"],
            region_name=store["region"],
            aws_access_key_id=store["key_id"],
            aws_secret_access_key=store["key_secret"],
            verify=str(ca_file),
            config=_SETTINGS,
        )
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="s3")

    async def open(self) -> None:
        """See `Client.open`."""
        await self._call(partial(self._put, 0))

    def streams(self) -> Sequence[Stream]:
        """See `Client.streams`."""
        write, read = StreamLog("object-store.write"), StreamLog("object-store.read")
        return (
            Stream(write, self._write, max_open=_THREADS // 2),
            Stream(read, self._read, max_open=_THREADS // 2),
        )

    async def stored_sequence(self) -> Mapping[str, Sequence[int]]:
        """See `Client.stored_sequence`; keys are sorted by number."""
        keys = await self._call(self._keys)
        return {"object-store.write": [int(key.rpartition("/")[2]) for key in keys]}

    async def close(self) -> None:
        """See `Client.close`."""
        await self._call(self._delete)
        self._threads.shutdown(wait=False)
        self._folder.cleanup()

    def _key(self, sequence: int) -> str:
        return f"{self._prefix}{sequence:08d}"

    def _keys(self) -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", ())]

    def _put(self, sequence: int) -> None:
        self._s3.put_object(Bucket=self._bucket, Key=self._key(sequence), Body=_BODY)

    def _get(self) -> None:
        self._s3.get_object(Bucket=self._bucket, Key=self._key(0))["Body"].read()

    def _delete(self) -> None:
        for key in self._keys():
            self._s3.delete_object(Bucket=self._bucket, Key=key)

    async def _call(self, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - what the S3 client returns
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def _write(self, sequence: int) -> None:
        await self._call(partial(self._put, sequence))

    async def _read(self, _: int) -> None:
        await self._call(self._get)
