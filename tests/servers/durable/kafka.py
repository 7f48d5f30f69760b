"""Kafka: one broker that is its own controller on a disk whose power can be cut."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from infra.config_files import kafka as kafka_config
from infra.subprocesses import run
from tests.servers.durable.store import DurableStore
from tests.servers.kafka import kafka_libraries
from tests.servers.process import free_port


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
