"""The data stores on a disk whose power can be cut, with the durability settings of the platform.

Each store has one replica here. That is stricter than the platform: what survives on one disk survives the
power loss of all zones at once, because an acknowledged write is on at least one disk of each quorum.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import asyncpg
import boto3
import httpx
import redis.asyncio
from botocore.config import Config
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from infra.components.object_store.pod_programs import layout
from infra.config_files import garage as garage_config
from infra.config_files import kafka as kafka_config
from infra.config_files import redis as redis_config
from infra.credentials import ObjectStoreCredentials
from infra.subprocesses import run
from infra.zones import control_plane
from infra.zones.paths import ClusterPaths
from tests.servers.kafka import kafka_libraries
from tests.servers.postgres import BINARIES, unprivileged_uid
from tests.servers.powered_disk import MOUNT_POINT
from tests.servers.process import Server, free_port

if TYPE_CHECKING:
    from tests.servers.powered_disk import PoweredDisk

START_TIMEOUT_SECONDS = 60.0
WRITE_TIMEOUT_SECONDS = 5.0
SETTLE_SECONDS = 0.2
"""Time after the cut in which a server could still acknowledge what it cannot store."""


class DurableStore(ABC):
    """A store on a disk.

    Args:
        disk: the disk.
        folder: folder on the host for logs and configuration files.
        durable: False for a store that does not sync, which shows that a cut is real.
    """

    name: ClassVar[str]
    writers: ClassVar[int] = 16
    """Concurrent writers."""

    def __init__(self, disk: PoweredDisk, folder: Path, *, durable: bool = True) -> None:
        self.disk, self.folder, self.durable = disk, folder, durable
        self.port = free_port()
        self.server = Server(self.name, folder / f"{self.name}.log")
        self.data = f"{MOUNT_POINT}/{self.name}"

    def start(self, timeout_seconds: float = START_TIMEOUT_SECONDS) -> None:
        """Start the server on its data; create the data if there is none.

        Args:
            timeout_seconds: longest wait until it is ready.
        """
        if not (self.disk.root / self.name).exists():
            (self.disk.root / self.name).mkdir()
            self.create()
        self.launch()
        self.server.wait_until_ready(self.ready, timeout_seconds)

    def create(self) -> None:
        """Create the data of a new store, for those that do not create it at their first start."""
        return

    @abstractmethod
    def launch(self) -> None:
        """Start the process."""

    def ready(self) -> bool:
        """Return whether the server accepts connections."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    @abstractmethod
    async def open(self) -> None:
        """Connect the writers, and create what they write to."""

    @abstractmethod
    async def write(self, number: int) -> None:
        """Write a number; return when the server has acknowledged it."""

    @abstractmethod
    async def stored(self) -> set[int]:
        """Return all stored numbers."""

    @abstractmethod
    async def close(self) -> None:
        """Disconnect."""

    def lose_power(self) -> None:
        """End the server, whose disk has lost its power, and power the disk on again."""
        self.server.kill()
        self.disk.power_off()
        self.disk.power_on()


async def write_until_power_loss(store: DurableStore, count: int) -> tuple[set[int], float]:
    """Write concurrently, cut the power in the middle of it, and kill the server.

    Args:
        store: a running store.
        count: acknowledged writes before the cut.

    Returns:
        The acknowledged numbers, and acknowledged writes per second before the cut.
    """
    acknowledged: set[int] = set()
    numbers = iter(range(1 << 30))
    enough, powerless = asyncio.Event(), asyncio.Event()

    async def write() -> None:
        # A client library may swallow the cancellation.
        while not powerless.is_set():
            number = next(numbers)
            try:
                async with asyncio.timeout(WRITE_TIMEOUT_SECONDS):
                    await store.write(number)
            except Exception:  # noqa: BLE001 - not acknowledged, for whatever reason
                await asyncio.sleep(SETTLE_SECONDS)
                continue
            acknowledged.add(number)
            if len(acknowledged) >= count:
                enough.set()

    await store.open()
    started_at = time.monotonic()
    tasks = [asyncio.create_task(write()) for _ in range(store.writers)]
    await enough.wait()
    rate = len(acknowledged) / (time.monotonic() - started_at)
    await asyncio.to_thread(store.disk.commit_journal)
    await asyncio.to_thread(store.disk.cut_power)
    await asyncio.sleep(SETTLE_SECONDS)
    powerless.set()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    with suppress(Exception):  # its server has lost its disk
        await store.close()
    await asyncio.to_thread(store.lose_power)
    return acknowledged, rate


async def stored_after_restart(
    store: DurableStore, timeout_seconds: float = START_TIMEOUT_SECONDS
) -> set[int]:
    """Start the store again and return all stored numbers.

    Args:
        store: a store that lost its power.
        timeout_seconds: longest wait until it is ready.
    """
    await asyncio.to_thread(store.start, timeout_seconds)
    await store.open()
    try:
        return await store.stored()
    finally:
        await store.close()


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


class DurableKafka(DurableStore):
    """One broker with one partition, and the flush settings of the platform."""

    name = "kafka"
    writers = 256
    _topic = "written"
    _producer: Producer
    _polling: threading.Thread
    _stopping: threading.Event

    def create(self) -> None:
        """See `DurableStore.create`."""
        rendered = kafka_config.render_server_properties(["127.0.0.1"], [])
        durability = [line for line in rendered.splitlines() if ".flush." in line] if self.durable else []
        controller, brokers = free_port(), free_port()
        listeners = {"CLIENTS": self.port, "BROKERS": brokers, "CONTROLLERS": controller}
        lines = [
            "process.roles=broker,controller",
            f"controller.quorum.voters=0@127.0.0.1:{controller}",
            f"listeners={','.join(f'{name}://127.0.0.1:{port}' for name, port in listeners.items())}",
            f"listener.security.protocol.map={','.join(f'{name}:PLAINTEXT' for name in listeners)}",
            "inter.broker.listener.name=BROKERS",
            "controller.listener.names=CONTROLLERS",
            f"log.dirs={self.data}/data",
            # The restarted broker registers again when the session of the killed one has ended.
            "broker.session.timeout.ms=1000",
            "broker.heartbeat.interval.ms=200",
            "offsets.topic.replication.factor=1",
            "offsets.topic.num.partitions=1",
            "log.segment.bytes=67108864",
            "log.cleaner.dedupe.buffer.size=2097152",
            *durability,
        ]
        (self.folder / "declared.properties").write_text("\n".join([*lines, ""]))
        run(self.disk.command("sh", "-c", self._prepare_script(brokers)))

    def _prepare_script(self, brokers: int) -> str:
        """Return the script of the init container with the paths and ports of this broker."""
        script = kafka_config.render_prepare_script()
        replacements = {
            "/etc/esq/kafka/server.properties": self.folder / "declared.properties",
            "/etc/esq/users/users.properties": "/dev/null",
            "${HOSTNAME##*-}": "0",
            "$HOSTNAME.$ESQ_DOMAIN": "127.0.0.1",
            "$ESQ_CLUSTER_ID": "esqesqesqesqesqesqesqQ",
            f":{kafka_config.CLIENT_PORT}": f":{self.port}",
            f":{kafka_config.BROKER_PORT}": f":{brokers}",
            kafka_config.PROPERTIES_FILE: self._config,
            kafka_config.DATA_DIRECTORY: f"{self.data}/data",
            "/opt/kafka/libs": kafka_libraries(),
        }
        for text, replacement in replacements.items():
            script = script.replace(text, str(replacement))
        return script

    def launch(self) -> None:
        """See `DurableStore.launch`."""
        self.server.launch(self.disk.command(*self._java(), "kafka.Kafka", str(self._config)))

    def ready(self) -> bool:
        """See `DurableStore.ready`."""
        try:
            return bool(self._admin().list_topics(timeout=1).brokers)
        except KafkaException:
            return False

    async def open(self) -> None:
        """See `DurableStore.open`."""
        admin = self._admin()
        if self._topic not in admin.list_topics(timeout=10).topics:
            admin.create_topics([NewTopic(self._topic, 1, 1)])[self._topic].result(20)
        self._producer = Producer(
            self._client
            | {"acks": "all", "enable.idempotence": "true", "linger.ms": 5, "message.timeout.ms": 5000}
        )
        self._stopping = threading.Event()
        self._polling = threading.Thread(target=self._poll, daemon=True)
        self._polling.start()

    def _poll(self) -> None:
        while not self._stopping.is_set():
            self._producer.poll(0.05)

    async def write(self, number: int) -> None:
        """See `DurableStore.write`."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def resolve(error: object) -> None:
            if not done.done():
                done.set_exception(RuntimeError(str(error))) if error else done.set_result(None)

        self._producer.produce(
            self._topic,
            str(number),
            on_delivery=lambda error, _: loop.call_soon_threadsafe(resolve, error),
        )
        await done

    async def stored(self) -> set[int]:
        """See `DurableStore.stored`."""
        return await asyncio.to_thread(self._read_all)

    def _read_all(self) -> set[int]:
        consumer = Consumer(self._client | {"group.id": "check", "enable.auto.commit": "false"})
        try:
            partition = TopicPartition(self._topic, 0, 0)
            _, end = consumer.get_watermark_offsets(partition, timeout=20)
            consumer.assign([partition])
            numbers = set()
            while consumer.position([partition])[0].offset < end:
                messages = consumer.consume(1000, timeout=10)
                if not messages:
                    raise TimeoutError("the broker returns no record before the end of the partition")
                for message in messages:
                    if error := message.error():
                        raise KafkaException(error)
                    numbers.add(int(message.value() or b"-1"))
            return numbers
        finally:
            consumer.close()

    async def close(self) -> None:
        """See `DurableStore.close`."""
        self._stopping.set()
        self._polling.join(5)
        self._producer.purge()

    @property
    def _config(self) -> Path:
        return self.folder / "server.properties"

    @property
    def _client(self) -> dict[str, Any]:
        return {"bootstrap.servers": f"127.0.0.1:{self.port}", "log_level": 0}

    def _admin(self) -> AdminClient:
        return AdminClient(self._client)

    def _java(self) -> list[str]:
        jvm = ["-Xms128m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        return ["java", *jvm, "-cp", f"{kafka_libraries()}/*"]


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


STORES: tuple[type[DurableStore], ...] = (
    DurablePostgres,
    DurableEtcd,
    DurableKafka,
    DurableGarage,
    DurableRedis,
)
