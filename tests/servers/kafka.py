"""A Kafka broker (KRaft, one node) on free loopback ports, in a folder of its own.

Its authorizer is that of the platform. The tests themselves use a listener without login, whose user may do
everything; services use one with the accounts of both generations.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from confluent_kafka import OFFSET_END, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from infra.names import SERVICES
from services.contracts.kafka_access import GENERATIONS, account_name
from services.kit.settings import KafkaSettings
from tests.servers.process import Server, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable

START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 20.0
CALL_TIMEOUT_SECONDS = 10.0
CLEAR_TIMEOUT_SECONDS = 30.0
PASSWORD = "of-every-account"
CLUSTER_ID = "esqesqesqesqesqesqesqQ"
_JVM = ("-Xms128m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_CONFIG = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},ACCOUNTS://127.0.0.1:{account_port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},ACCOUNTS://127.0.0.1:{account_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,ACCOUNTS:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.accounts.plain.sasl.jaas.config={jaas}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
controller.listener.names=CONTROLLER
log.dirs={folder}/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=2
background.threads=2
log.cleaner.dedupe.buffer.size=2097152
"""
_LOGGING = """
rootLogger.level=warn
rootLogger.appenderRef.stdout.ref=stdout
appender.stdout.type=Console
appender.stdout.name=stdout
appender.stdout.layout.type=PatternLayout
appender.stdout.layout.pattern=%d %p %m (%c)%n
"""


def kafka_libraries() -> Path:
    """Return the folder of Kafka's jars: `ESQ_KAFKA_LIBS`, or the toolchain's.

    Raises:
        FileNotFoundError: neither exists.
    """
    named = os.environ.get("ESQ_KAFKA_LIBS")
    folder = Path(named) if named else _toolchain_libraries()
    if not any(folder.glob("kafka_2.13-*.jar")):
        raise FileNotFoundError(f"no Kafka jars in {folder}: run `./esq toolchain`, or set ESQ_KAFKA_LIBS")
    return folder


def _toolchain_libraries() -> Path:
    """Return Kafka's jars of the toolchain; build it if it is missing."""
    from platformdirs import user_cache_path  # noqa: PLC0415 - only without ESQ_KAFKA_LIBS

    from infra.progress import RecordingProgress  # noqa: PLC0415 - as above
    from infra.zones.toolchain import Toolchain  # noqa: PLC0415 - as above

    tools = Toolchain(cache=user_cache_path("esq") / "toolchain", steps=RecordingProgress())
    tools.ensure(("kafka",), RecordingProgress())
    folder = tools.path("kafka")
    return folder / "libs" if (folder / "libs").is_dir() else folder


def _jaas() -> str:
    """Return the accounts of all services."""
    names = (account_name(service, generation) for service in SERVICES for generation in GENERATIONS)
    users = " ".join(f'user_{name}="{PASSWORD}"' for name in names)
    return f"org.apache.kafka.common.security.plain.PlainLoginModule required {users};"


class Kafka:
    """A Kafka broker; its data survives `kill` and `start`."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="esq-kafka-"))
        self.port = free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.account_port = free_port()
        self._server = Server("kafka", self.folder / "log")
        self._config = self.folder / "server.properties"

    def start(self) -> None:
        """Format its storage when it is new, and wait until it answers."""
        if not self._config.exists():
            self._config.write_text(
                _CONFIG.format(
                    port=self.port,
                    account_port=self.account_port,
                    controller=free_port(),
                    folder=self.folder,
                    jaas=_jaas(),
                )
            )
            (self.folder / "log4j2.properties").write_text(_LOGGING)
            format_ = ["format", "-t", CLUSTER_ID, "-c", str(self._config)]
            subprocess.run(
                [*self._java(), "kafka.tools.StorageTool", *format_], check=True, capture_output=True
            )
        self._server.launch([*self._java(), "kafka.Kafka", str(self._config)])
        self._server.wait_until_ready(self.ready, START_TIMEOUT_SECONDS)

    def stop(self) -> None:
        """Stop it and delete its folder."""
        self._server.send_signal(signal.SIGTERM, STOP_TIMEOUT_SECONDS)
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self) -> None:
        """Kill it, as a lost host would."""
        self._server.kill()

    def ready(self) -> bool:
        """Return whether the broker responds."""
        try:
            return bool(self.admin().list_topics(timeout=1).brokers)
        except KafkaException:
            return False

    def account(self, service: str, generation: str = "a") -> dict[str, str]:
        """Return the settings with which a service logs in to its account.

        Args:
            service: name of the service.
            generation: generation of the account.
        """
        return {
            "ESQ_KAFKA_BOOTSTRAP": f"127.0.0.1:{self.account_port}",
            "ESQ_KAFKA_MECHANISM": "PLAIN",
            "ESQ_KAFKA_USERNAME": account_name(service, generation),
            "ESQ_KAFKA_PASSWORD": PASSWORD,
        }

    def settings(self, service: str, generation: str = "a") -> KafkaSettings:
        """Return the same as an object.

        Args:
            service: name of the service.
            generation: generation of the account.
        """
        values = self.account(service, generation)
        return KafkaSettings.model_validate(
            {name.removeprefix("ESQ_").lower(): value for name, value in values.items()}
        )

    def admin(self) -> AdminClient:
        """Return a client for topics and groups."""
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def clear(self, topics: Iterable[str]) -> None:
        """Delete all records of the topics and the offsets of all groups; groups must have no members."""
        names = set(topics)
        wait_until(
            f"{', '.join(sorted(names))} to be empty", lambda: self._try_clear(names), CLEAR_TIMEOUT_SECONDS
        )

    def _try_clear(self, names: set[str]) -> bool:
        """Try once; return False while leaders of new topics are unknown or a group has members."""
        admin = self.admin()
        try:
            known = admin.list_topics(timeout=CALL_TIMEOUT_SECONDS).topics
            ends = [
                TopicPartition(name, number, OFFSET_END)
                for name in names
                for number in known[name].partitions
            ]
            for future in admin.delete_records(ends).values():
                future.result(CALL_TIMEOUT_SECONDS)
            groups = [
                group.group_id for group in admin.list_consumer_groups().result(CALL_TIMEOUT_SECONDS).valid
            ]
            for future in (admin.delete_consumer_groups(groups) if groups else {}).values():
                future.result(CALL_TIMEOUT_SECONDS)
        except (KafkaException, KeyError):
            return False
        return True

    def _java(self) -> list[str]:
        """Return the command line up to the class name."""
        logging = f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}"
        return ["java", *_JVM, logging, "-cp", f"{kafka_libraries()}/*"]
