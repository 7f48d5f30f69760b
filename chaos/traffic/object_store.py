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
from botocore.exceptions import ClientError

from chaos.traffic.open_loop import StaleReadError, Stream, StreamLog
from chaos.traffic.read_check import AckedWrites, object_content, require_content

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from chaos.traffic.client import Endpoints

_THREADS = 24
_ROOT = "esq-chaos/"
_MAX_LEFT_OBJECTS = 10_000
"""Limit of the objects of interrupted runs that a run deletes, so that it is not delayed for long."""
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
        self._bucket, self._run = store["bucket"], endpoints.run_name
        self._prefix = f"{_ROOT}{endpoints.run_name}/"
        self._acked = AckedWrites()
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
        """See `Client.open`; deletes the objects that interrupted runs left."""
        await self._delete((await self._call(partial(self._keys, _ROOT)))[:_MAX_LEFT_OBJECTS])

    def streams(self) -> Sequence[Stream]:
        """See `Client.streams`."""
        write, read = StreamLog("object-store.write"), StreamLog("object-store.read")
        return (
            Stream(write, self._write, max_open=_THREADS // 2),
            Stream(read, self._read, max_open=_THREADS // 2),
        )

    async def stored_sequence(self) -> Mapping[str, Sequence[int]]:
        """See `Client.stored_sequence`; keys are sorted by number."""
        keys = await self._call(partial(self._keys, self._prefix))
        sequences = [int(key.rpartition("/")[2]) for key in keys]
        readable = await asyncio.gather(*(self._call(partial(self._is_intact, item)) for item in sequences))
        return {
            "object-store.write": [item for item, intact in zip(sequences, readable, strict=True) if intact]
        }

    async def close(self) -> None:
        """See `Client.close`."""
        await self._delete(await self._call(partial(self._keys, self._prefix)))
        self._threads.shutdown(wait=False)
        self._folder.cleanup()

    def _key(self, sequence: int) -> str:
        return f"{self._prefix}{sequence:08d}"

    def _keys(self, prefix: str) -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", ())]

    def _put(self, sequence: int) -> None:
        body = object_content(self._run, sequence)
        self._s3.put_object(Bucket=self._bucket, Key=self._key(sequence), Body=body)

    def _get(self, sequence: int) -> bytes:
        try:
            body = self._s3.get_object(Bucket=self._bucket, Key=self._key(sequence))["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                raise StaleReadError("an acknowledged object is missing") from error
            raise
        return bytes(body)

    def _is_intact(self, sequence: int) -> bool:
        try:
            return self._get(sequence) == object_content(self._run, sequence)
        except StaleReadError:
            return False

    async def _delete(self, keys: Sequence[str]) -> None:
        deletes = (partial(self._s3.delete_object, Bucket=self._bucket, Key=key) for key in keys)
        await asyncio.gather(*map(self._call, deletes))

    async def _call(self, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - what the S3 client returns
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def _write(self, sequence: int) -> None:
        await self._call(partial(self._put, sequence))
        self._acked.add(sequence)

    async def _read(self, sequence: int) -> None:
        chosen = self._acked.choose(sequence)
        if chosen is None:  # nothing is acknowledged yet: a read of the bucket shows that it responds
            await self._call(partial(self._s3.list_objects_v2, Bucket=self._bucket, MaxKeys=1))
            return
        body = await self._call(partial(self._get, chosen))
        require_content(body, object_content(self._run, chosen), self._key(chosen))
