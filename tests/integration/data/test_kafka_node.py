"""A real broker with the rendered settings: TLS and passwords at every door, and the probe that asks it."""

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
from confluent_kafka.admin import AdminClient, NewTopic

from infra.components.kafka.pod_programs import probe
from infra.config_files import kafka as render
from infra.credentials import Credentials, complete_credentials
from tests.controllers.kafka import kafka_libraries
from tests.controllers.prober import probing
from tests.controllers.process import Server, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration
CLUSTER_ID = "-orj099ZTYKsWkJLDVJyow"
"""One in 64 begins like an option."""


class Broker:
    """One node that is its own quorum, with free ports in place of the declared ones."""

    def __init__(self, folder: Path, credentials: Credentials) -> None:
        self.folder = folder
        self.credentials = credentials
        ports = (render.CLIENT_PORT, render.BROKER_PORT, render.CONTROLLER_PORT)
        self.free = {port: free_port() for port in ports}
        self.port = self.free[render.CLIENT_PORT]
        self.ca = folder / "ca.crt"
        self.ca.write_text(credentials.ca.certificate)
        pair = credentials.certificates["kafka"]
        (folder / "keystore.pem").write_text(pair.key + pair.certificate)
        (folder / "log4j2.properties").write_text(render.render_log4j2_properties())
        (folder / "server.properties").write_text(self._properties())
        self.server = Server("kafka", folder / "log")
        self.java = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        self.java += [f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}"]
        self.java += ["-cp", f"{kafka_libraries()}/*"]

    def _properties(self) -> str:
        shown = render.render_server_properties(["localhost"]) + render.render_users_properties(
            broker=self.credentials.kafka.broker, clients={"esq": self.credentials.kafka.admin}
        )
        shown += f"node.id=0\nadvertised.listeners=CLIENTS://localhost:{render.CLIENT_PORT}"
        shown += f",BROKERS://localhost:{render.BROKER_PORT}\n"
        for declared, free in self.free.items():
            shown = shown.replace(f":{declared}", f":{free}")
        return shown.replace("/etc/esq/tls", str(self.folder)).replace(
            render.DATA_DIRECTORY, str(self.folder / "data")
        )

    def start(self) -> None:
        config = str(self.folder / "server.properties")
        self._prepare()
        self.server.launch([*self.java, "kafka.Kafka", config])
        self.server.await_ready(self.ready, 60)

    def _prepare(self) -> None:
        """Do what a pod does before Kafka starts, with the paths of this folder."""
        script = render.render_prepare_script()
        places = {
            "/etc/esq/kafka": self.folder,
            "/etc/esq/users/users.properties": "/dev/null",
            render.PROPERTIES_FILE: self.folder / "pod.properties",
            render.DATA_DIRECTORY: self.folder / "data",
            "/opt/kafka/libs": kafka_libraries(),
        }
        for place, here in places.items():
            script = script.replace(place, str(here))
        own = {"HOSTNAME": "kafka-0", "ESQ_DOMAIN": "kafka", "ESQ_CLUSTER_ID": CLUSTER_ID}
        subprocess.run(["sh", "-c", script], env={**os.environ, **own}, check=True, capture_output=True)

    @contextmanager
    def client(self, user: str, password: str) -> Iterator[probe.Client]:
        with probe.Client(port=self.port, ca_file=str(self.ca)) as client:
            client.login(user, password)
            yield client

    def ready(self) -> bool:
        try:
            with self.client("esq", self.credentials.kafka.admin) as client:
                metadata, quorum = client.metadata(), client.quorum()
        except OSError:
            return False
        return probe.readiness_problem(0, metadata, quorum) is None


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    started = Broker(tmp_path_factory.mktemp("kafka"), complete_credentials())
    started.start()
    yield started
    started.server.send(signal.SIGTERM, 20)


def test_a_client_logs_in_with_its_password_inside_tls(broker: Broker) -> None:
    admin = AdminClient(
        {
            "bootstrap.servers": f"localhost:{broker.port}",
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": render.MECHANISM,
            "sasl.username": "esq",
            "sasl.password": broker.credentials.kafka.admin,
            "ssl.ca.location": str(broker.ca),
        }
    )
    admin.create_topics([NewTopic("declared", 2, 1)])["declared"].result(20)
    with broker.client("esq", broker.credentials.kafka.admin) as client:
        found = [each for each in client.metadata().partitions if each.topic == "declared"]
    assert [(each.number, each.leader, each.in_sync) for each in found] == [(0, 0, [0]), (1, 0, [0])]


def test_a_wrong_password_is_refused(broker: Broker) -> None:
    with pytest.raises(probe.NotReadyError, match="login refused"), broker.client("esq", "wrong"):
        pass


def test_the_brokers_own_user_cannot_come_in_by_the_clients_door(broker: Broker) -> None:
    inner = broker.credentials.kafka.broker
    with pytest.raises(probe.NotReadyError, match="login refused"), broker.client("broker", inner):
        pass


def shipped(broker: Broker, folder: Path) -> None:
    """Write the script as a pod has it, for this broker's port and authority."""
    script = Path(probe.__file__).read_text().replace("PORT = 9092", f"PORT = {broker.port}")
    (folder / "probe.py").write_text(script.replace("/etc/esq/tls", str(broker.folder)))


def test_the_probe_as_it_is_run_in_a_pod(broker: Broker, tmp_path: Path) -> None:
    shipped(broker, tmp_path)
    with probing(tmp_path, {"ESQ_KAFKA_PASSWORD": broker.credentials.kafka.admin}) as client:
        assert client.get("/live").status_code == HTTPStatus.OK
        assert client.get("/unheard-of").status_code == HTTPStatus.NOT_FOUND
    with probing(tmp_path, {"ESQ_KAFKA_PASSWORD": "wrong"}) as client:
        refused = client.get("/live")
    assert refused.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert "login refused" in refused.text


def test_the_report_as_it_is_asked_for_in_a_pod(broker: Broker, tmp_path: Path) -> None:
    shipped(broker, tmp_path)
    report = subprocess.run(
        [sys.executable, str(tmp_path / "probe.py")],
        env={"ESQ_KAFKA_PASSWORD": broker.credentials.kafka.admin},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(report.stdout)["quorum"]["leader"] == 0
