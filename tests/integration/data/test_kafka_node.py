"""A real broker with the rendered configuration: TLS, passwords and access control, and its probe.

It runs in the middle of a rotation: it uses generation `b` and accepts `a` as well.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from infra.components.kafka import KafkaAccounts
from infra.components.kafka.pod_programs import probe
from infra.components.observability import scraped_metrics
from infra.config_files import kafka as kafka_config
from infra.credentials import Credentials, complete_credentials
from tests.servers.kafka import kafka_libraries
from tests.servers.probe_server import run_probe_server
from tests.servers.process import Server, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration
CLUSTER_ID = "-orj099ZTYKsWkJLDVJyow"
"""One id in 64 starts like an option."""


class Broker:
    """A single-node cluster with free ports instead of the declared ones."""

    def __init__(self, folder: Path, credentials: Credentials) -> None:
        self.folder = folder
        self.credentials = credentials
        self.accounts = tuple(
            KafkaAccounts(generation=accepted.generation, credentials=accepted.kafka)
            for accepted in credentials.accepted
        )
        self.admin = self.accounts[0].admin
        self.admin_password = credentials.kafka.admin
        ports = (kafka_config.CLIENT_PORT, kafka_config.BROKER_PORT, kafka_config.CONTROLLER_PORT)
        self.free_ports = {port: free_port() for port in ports}
        self.port = self.free_ports[kafka_config.CLIENT_PORT]
        self.ca = folder / "ca.crt"
        self.ca.write_text(credentials.ca_bundle)
        pair = credentials.certificates["kafka"]
        (folder / "keystore.pem").write_text(pair.key + pair.certificate)
        (folder / "log4j2.properties").write_text(kafka_config.render_log4j2_properties())
        (folder / "server.properties").write_text(self._properties())
        self.server = Server("kafka", folder / "log")
        self.java = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        self.java += [f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}"]
        self.java += ["-cp", f"{kafka_libraries()}/*"]

    def _properties(self) -> str:
        super_users = [name for accounts in self.accounts for name in (accounts.node, accounts.admin)]
        properties = kafka_config.render_server_properties(
            ["localhost"], super_users
        ) + kafka_config.render_users_properties(
            nodes={accounts.node: accounts.credentials.broker for accounts in self.accounts},
            clients={name: value for accounts in self.accounts for name, value in accounts.clients.items()},
        )
        properties += f"node.id=0\nadvertised.listeners=CLIENTS://localhost:{kafka_config.CLIENT_PORT}"
        properties += f",BROKERS://localhost:{kafka_config.BROKER_PORT}\n"
        for declared, free in self.free_ports.items():
            properties = properties.replace(f":{declared}", f":{free}")
        return properties.replace("/etc/esq/tls", str(self.folder)).replace(
            kafka_config.DATA_DIRECTORY, str(self.folder / "data")
        )

    def start(self) -> None:
        config = str(self.folder / "server.properties")
        self._prepare()
        self.server.launch([*self.java, "kafka.Kafka", config])
        self.server.wait_until_ready(self.ready, 60)

    def _prepare(self) -> None:
        """Run the script of the init container with the paths of this folder."""
        script = kafka_config.render_prepare_script()
        replacements = {
            "/etc/esq/kafka": self.folder,
            "/etc/esq/users/users.properties": "/dev/null",
            kafka_config.PROPERTIES_FILE: self.folder / "pod.properties",
            kafka_config.DATA_DIRECTORY: self.folder / "data",
            "/opt/kafka/libs": kafka_libraries(),
        }
        for path, replacement in replacements.items():
            script = script.replace(path, str(replacement))
        environment = {"HOSTNAME": "kafka-0", "ESQ_DOMAIN": "kafka", "ESQ_CLUSTER_ID": CLUSTER_ID}
        subprocess.run(
            ["sh", "-c", script], env={**os.environ, **environment}, check=True, capture_output=True
        )

    @contextmanager
    def client(self, user: str, password: str) -> Iterator[probe.Client]:
        with probe.Client(port=self.port, ca_file=str(self.ca)) as client:
            client.login(user, password)
            yield client

    def client_config(self, user: str, password: str) -> dict[str, str | int | float | bool]:
        return {
            "bootstrap.servers": f"localhost:{self.port}",
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": kafka_config.MECHANISM,
            "sasl.username": user,
            "sasl.password": password,
            "ssl.ca.location": str(self.ca),
        }

    def ready(self) -> bool:
        try:
            with self.client(self.admin, self.admin_password) as client:
                metadata, quorum = client.metadata(), client.quorum()
        except OSError:
            return False
        return probe.readiness_problem(0, metadata, quorum) is None


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    rotation = {"generation": "b", "alternate": complete_credentials()}
    started = Broker(tmp_path_factory.mktemp("kafka"), complete_credentials().model_copy(update=rotation))
    started.start()
    yield started
    started.server.send_signal(signal.SIGTERM, 20)


def test_client_logs_in_with_password_and_tls(broker: Broker) -> None:
    admin = AdminClient(broker.client_config(broker.admin, broker.admin_password))
    admin.create_topics([NewTopic("declared", 2, 1)])["declared"].result(20)
    with broker.client(broker.admin, broker.admin_password) as client:
        partitions = [
            partition for partition in client.metadata().partitions if partition.topic == "declared"
        ]
    states = [(partition.number, partition.leader, partition.in_sync) for partition in partitions]
    assert states == [(0, 0, [0]), (1, 0, [0])]


def test_wrong_password_is_rejected(broker: Broker) -> None:
    with pytest.raises(probe.NotReadyError, match="login refused"), broker.client(broker.admin, "wrong"):
        pass


def test_internal_user_is_rejected_on_the_client_listener(broker: Broker) -> None:
    for accounts in broker.accounts:
        password = accounts.credentials.broker
        with (
            pytest.raises(probe.NotReadyError, match="login refused"),
            broker.client(accounts.node, password),
        ):
            pass


def test_accounts_of_both_generations_are_accepted(broker: Broker) -> None:
    for accounts in broker.accounts:
        for name, password in accounts.clients.items():
            with broker.client(name, password) as client:
                assert client.metadata().brokers == [0]
    new, old = broker.accounts
    password = old.clients["campaigns-a"]
    assert password != new.clients["campaigns-b"]
    with pytest.raises(probe.NotReadyError, match="login refused"), broker.client("campaigns-b", password):
        pass


def test_service_without_permissions_sees_and_creates_no_topic(broker: Broker) -> None:
    password = broker.credentials.kafka.services["campaigns"]
    service = AdminClient(broker.client_config("campaigns-b", password))
    with pytest.raises(KafkaException, match=r"(?i)authorization"):
        service.create_topics([NewTopic("forbidden", 1, 1)])["forbidden"].result(20)
    # The runbook `credentials-rejected` searches the log for it.
    log = broker.folder / "log"
    wait_until("the denial is logged", lambda: "User:campaigns-b is Denied" in log.read_text(), 10)
    admin = AdminClient(broker.client_config(broker.admin, broker.admin_password))
    admin.create_topics([NewTopic("invisible", 1, 1)])["invisible"].result(20)
    assert service.list_topics(timeout=20).topics == {}


def write_probe(broker: Broker, folder: Path) -> None:
    """Write the probe as mounted in a pod, with this broker's port and CA file."""
    script = Path(probe.__file__).read_text().replace("PORT = 9092", f"PORT = {broker.port}")
    script = script.replace('int(socket.gethostname().rpartition("-")[2])', "1")
    (folder / "probe.py").write_text(script.replace("/etc/esq/tls", str(broker.folder)))


def test_probe_server_with_probe(broker: Broker, tmp_path: Path) -> None:
    write_probe(broker, tmp_path)
    login = {"ESQ_KAFKA_USER": broker.admin, "ESQ_KAFKA_PASSWORD": broker.admin_password}
    with run_probe_server(tmp_path, login) as client:
        assert client.get("/live").status_code == HTTPStatus.OK
        assert client.get("/unknown").status_code == HTTPStatus.NOT_FOUND
        names = {line.split()[0].partition("{")[0] for line in client.get("/metrics").text.splitlines()}
        assert names == set(scraped_metrics.KAFKA.metrics)
    with run_probe_server(tmp_path, {**login, "ESQ_KAFKA_PASSWORD": "wrong"}) as client:
        response = client.get("/live")
        assert client.get("/metrics").text == "kafka_up 0\n"
    assert response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert "login refused" in response.text


def test_probe_prints_the_report(broker: Broker, tmp_path: Path) -> None:
    write_probe(broker, tmp_path)
    report = subprocess.run(
        [sys.executable, str(tmp_path / "probe.py")],
        env={"ESQ_KAFKA_USER": broker.admin, "ESQ_KAFKA_PASSWORD": broker.admin_password},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(report.stdout)["quorum"]["leader"] == 0
