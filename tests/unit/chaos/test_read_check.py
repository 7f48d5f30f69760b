"""Reads of the traffic clients: planted corrupt, stale and reordered content is counted and is no success."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from botocore.exceptions import ClientError

from chaos.traffic.client import Endpoints
from chaos.traffic.edge import EdgeTraffic
from chaos.traffic.kafka import record_read
from chaos.traffic.object_store import ObjectStoreTraffic
from chaos.traffic.open_loop import StaleReadError, Stream, StreamLog
from chaos.traffic.postgres import PostgresTraffic
from chaos.traffic.read_check import (
    AckedWrites,
    MonotonicReads,
    content,
    object_content,
    parse_content,
)
from chaos.traffic.redis import RedisTraffic
from infra.certificate_authority import create_ca

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

RUN = "chaos01234567"


@pytest.fixture(scope="module")
def endpoints() -> Endpoints:
    certificate = create_ca().certificate
    return Endpoints(
        run_name=RUN,
        ca_certificate=certificate,
        edge_url="https://edge.test",
        edge_ca_certificate=certificate,
        token_key="k" * 36,
        postgres={},
        kafka={},
        redis={"user": "u", "password": "p", "sentinels": "127.0.0.1:1", "master": "m"},
        object_store={
            "url": "https://store.test",
            "region": "local",
            "bucket": "media",
            "key_id": "id",
            "key_secret": "secret",
        },
    )


async def one_attempt(attempt: Callable[[int], Awaitable[None]], log: StreamLog | None = None) -> StreamLog:
    """Run one attempt of a stream, as its loop does."""
    stream = Stream(log or StreamLog("read"), attempt)
    await stream._run_attempt(0, 0.0)
    return stream.log


def test_content_names_its_write() -> None:
    assert parse_content(RUN, content(RUN, 7)) == 7
    assert parse_content(RUN, content(RUN, 7).encode()) == 7
    for other in (content("chaos9", 7), b"\xff", b"", None, f"{RUN}:07", f"{RUN}:"):
        assert parse_content(RUN, other) is None
    assert len(object_content(RUN, 7)) == 512
    assert object_content(RUN, 7) != object_content(RUN, 8)


def test_newest_and_earlier_writes_are_read_in_turns() -> None:
    acked = AckedWrites()
    assert acked.choose(0) is None
    for sequence in (0, 1, 3, 2):
        acked.add(sequence)
    assert [acked.choose(read) for read in range(8)] == [3, 0, 3, 1, 3, 3, 3, 2]
    assert (len(acked), acked.newest) == (4, 3)


def test_version_older_than_an_acknowledged_or_read_one_is_stale() -> None:
    reads = MonotonicReads()
    reads.check(4, reads.floor(4))
    reads.check(6, reads.floor(4))  # stored, but not acknowledged yet
    with pytest.raises(StaleReadError):
        reads.check(5, reads.floor(5))
    with pytest.raises(StaleReadError):
        reads.check(-1, reads.floor(6))


def test_write_acknowledged_during_a_read_may_be_missing_in_it() -> None:
    reads = MonotonicReads()
    floor = reads.floor(4)
    reads.check(4, floor)


def test_consumed_records_are_checked_for_content_and_order() -> None:
    log, reads = StreamLog("kafka.read.0"), MonotonicReads()
    for sequence in (0, 1, 3, 2, None, 4):
        record_read(sequence, log, reads, 1.0)
    assert [number for number, _, _ in log.acked] == [0, 1, 3, 4]
    assert (log.failed, log.stale, log.corrupt) == (2, 1, 1)


class FakeRedis:
    """Keys in memory."""

    def __init__(self) -> None:
        self.keys: dict[str, bytes] = {}

    async def set(self, key: str, value: str, ex: int) -> None:
        assert ex > 0
        self.keys[key] = value.encode()

    async def get(self, key: str | bytes) -> bytes | None:
        return self.keys.get(key.decode() if isinstance(key, bytes) else key)

    async def unlink(self, key: bytes) -> None:
        del self.keys[key.decode()]

    async def aclose(self) -> None:
        """Close the connection."""

    async def scan_iter(self, match: str, count: int) -> AsyncIterator[bytes]:
        assert count
        for key in [key for key in self.keys if key.startswith(match.removesuffix("*"))]:
            yield key.encode()


@pytest.mark.parametrize(("planted", "corrupt", "stale"), [(None, 0, 1), (b"1", 1, 0), ("right", 0, 0)])
async def test_redis_reads_are_checked(
    endpoints: Endpoints, planted: bytes | str | None, corrupt: int, stale: int
) -> None:
    client = RedisTraffic(endpoints)
    client._primary = redis = FakeRedis()  # type: ignore[assignment]
    await client._write(0)
    (key,) = redis.keys
    if planted is None:
        del redis.keys[key]
    elif isinstance(planted, bytes):
        redis.keys[key] = planted
    log = await one_attempt(client._read)
    assert (log.corrupt, log.stale, len(log.acked)) == (corrupt, stale, planted == "right")
    assert await client.stored_sequence() == {"redis.write": [0] if planted == "right" else []}
    await client.close()
    assert redis.keys == {}


class FakePgConnection:
    """The table of writes in memory; a new primary may lack rows."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, int]] = []

    async def execute(self, query: str, *parameters: Any) -> None:
        if query.startswith("INSERT"):
            self.rows.append(parameters)  # type: ignore[arg-type]
        elif query.startswith("DELETE") and "<>" in query:
            self.rows = [row for row in self.rows if row[0] == parameters[0]]
        else:
            self.rows = [row for row in self.rows if row[0] != parameters[0]]

    async def fetchval(self, query: str, run: str) -> int:
        assert "max(sequence)" in query
        return max((sequence for owner, sequence in self.rows if owner == run), default=-1)

    def terminate(self) -> None:
        """Close the connection."""


async def test_postgres_reads_are_checked_and_rows_are_deleted(endpoints: Endpoints) -> None:
    client, pg_connection = PostgresTraffic(endpoints), FakePgConnection()
    client._free_pg_connections = [pg_connection]
    pg_connection.rows = [("chaosdead", 9)]
    await client.open()
    assert pg_connection.rows == []
    await client._write(0)
    await client._write(1)
    assert len((await one_attempt(client._read)).acked) == 1
    del pg_connection.rows[1]
    client._free_pg_connections = [pg_connection]
    log = await one_attempt(client._read)
    assert (log.stale, log.failed) == (1, 1)
    await client.close()
    assert pg_connection.rows == []


class FakeS3:
    """Objects in memory."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put_object(self, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803 - names of boto3
        assert Bucket == "media"
        self.objects[Key] = Body

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803 - same
        assert Bucket == "media"
        if Key not in self.objects:
            raise ClientError({"Error": {"Code": "NoSuchKey", "Message": ""}}, "GetObject")
        return {"Body": io.BytesIO(self.objects[Key])}

    def delete_object(self, Bucket: str, Key: str) -> None:  # noqa: N803 - same
        assert Bucket == "media"
        del self.objects[Key]

    def get_paginator(self, name: str) -> FakeS3:
        assert name == "list_objects_v2"
        return self

    def paginate(self, Bucket: str, Prefix: str) -> list[dict[str, Any]]:  # noqa: N803 - same
        assert Bucket == "media"
        return [{"Contents": [{"Key": key}]} for key in self.objects if key.startswith(Prefix)]


def object_store(endpoints: Endpoints) -> tuple[ObjectStoreTraffic, FakeS3]:
    client = ObjectStoreTraffic(endpoints)
    client._s3 = s3 = FakeS3()
    return client, s3


@pytest.mark.parametrize(("planted", "corrupt", "stale"), [(None, 0, 1), ("flipped", 1, 0), ("right", 0, 0)])
async def test_object_reads_are_checked(
    endpoints: Endpoints, planted: str | None, corrupt: int, stale: int
) -> None:
    client, s3 = object_store(endpoints)
    await client._write(0)
    (key,) = s3.objects
    if planted is None:
        del s3.objects[key]
    elif planted == "flipped":
        s3.objects[key] = bytes([s3.objects[key][0] ^ 1]) + s3.objects[key][1:]
    log = await one_attempt(client._read)
    assert (log.corrupt, log.stale, len(log.acked)) == (corrupt, stale, planted == "right")
    assert await client.stored_sequence() == {"object-store.write": [0] if planted == "right" else []}
    await client.close()
    assert s3.objects == {}


async def test_objects_of_this_and_of_interrupted_runs_are_deleted(endpoints: Endpoints) -> None:
    client, s3 = object_store(endpoints)
    s3.objects = {"esq-chaos/chaosdead/00000001": b"", "other": b""}
    await client.open()
    assert list(s3.objects) == ["other"]
    await client._write(1)
    assert len(s3.objects) == 2
    await client.close()
    assert list(s3.objects) == ["other"]


@pytest.mark.parametrize(
    ("contact", "total", "corrupt", "stale", "acked"),
    [
        ({"phone": "+5511960000000", "name": "Chaos 0"}, 1, 0, 0, 1),
        ({"phone": "+5511960000000", "name": "Chaos 1"}, 1, 1, 0, 0),
        ({"phone": "+5511950000000", "name": "Chaos 0"}, 1, 1, 0, 0),
        # From a standby, which may lag: it is counted, and is a success.
        ({"phone": "+5511960000000", "name": "Chaos 0"}, 0, 0, 1, 1),
    ],
)
async def test_reads_of_the_edge_are_checked(  # noqa: PLR0913, PLR0917 - a planted page and its counts
    endpoints: Endpoints, contact: dict[str, str], total: int, corrupt: int, stale: int, acked: int
) -> None:
    client = EdgeTraffic(endpoints)

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/contacts/lists":
            return httpx.Response(200, json={"lists": [], "next": None})
        if request.method == "POST":
            return httpx.Response(201, json={})
        return httpx.Response(200, json={"total": total, "contacts": [contact], "next": None})

    client._http = httpx.AsyncClient(base_url=endpoints.edge_url, transport=httpx.MockTransport(respond))
    await client.open()
    log = await one_attempt(client._read, client._read_log)
    assert (log.corrupt, log.stale, len(log.acked)) == (corrupt, stale, acked)
    assert (await client.stored_sequence())["edge.write"] == ([] if corrupt else [0])


async def test_lists_of_this_and_of_interrupted_runs_are_deleted(endpoints: Endpoints) -> None:
    client, lists = EdgeTraffic(endpoints), {"chaosdead"}

    def respond(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            lists.add(request.url.params["list"])
            return httpx.Response(201, json={})
        if request.method == "DELETE":
            lists.remove(request.url.path.rpartition("/")[2])
            return httpx.Response(204)
        return httpx.Response(200, json={"lists": [{"name": name} for name in sorted(lists)], "next": None})

    client._http = httpx.AsyncClient(base_url=endpoints.edge_url, transport=httpx.MockTransport(respond))
    await client.open()
    assert lists == {RUN}
    await client.close()
    assert lists == set()
