"""The pod programs of Redis with a real Redis and a real Sentinel, with TLS and accounts."""

from __future__ import annotations

import signal
import ssl
import subprocess
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra.components.observability import scraped_metrics
from infra.components.redis.pod_programs import probe, write_config
from infra.config_files import redis as redis_config
from infra.credentials import complete_credentials
from tests.servers.probe_server import run_probe_server
from tests.servers.process import Server, free_port
from tests.servers.redis import PASSWORD, Redis, accounts

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

pytestmark = pytest.mark.integration


class PodFolder:
    """A folder with a pod's files, and free ports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.sentinel_port = free_port(), free_port()
        credentials = complete_credentials()
        script = Path(probe.__file__).read_text()
        files = {
            "ca.crt": credentials.ca.certificate,
            "tls.crt": credentials.certificates["redis"].certificate,
            "tls.key": credentials.certificates["redis"].key,
            "probe.py": script.replace("6379, 26379", f"{self.port}, {self.sentinel_port}").replace(
                "/etc/esq/tls", str(folder)
            ),
        }
        for name, text in files.items():
            (folder / name).write_text(text)

    def tls(self, port: int) -> dict[str, str]:
        """Return the options of a server that accepts TLS only."""
        files = {"cert-file": "tls.crt", "key-file": "tls.key", "ca-cert-file": "ca.crt"}
        paths = {f"tls-{option}": str(self.folder / name) for option, name in files.items()}
        return {"tls-port": str(port), "tls-auth-clients": "no", **paths}

    @contextmanager
    def redis(self, *options: str) -> Iterator[Redis]:
        """Run a server; its plain port is used only by the controller of this test."""
        tls = [part for option, value in self.tls(self.port).items() for part in (f"--{option}", value)]
        redis = Redis(*tls, *options, service="whatsapp")
        redis.start()
        try:
            yield redis
        finally:
            redis.stop()

    @contextmanager
    def sentinel(self, primary: Redis) -> Iterator[None]:
        """Run a Sentinel with a quorum of one."""
        lines = [f"{option} {value}" for option, value in self.tls(self.sentinel_port).items()]
        users = self.folder / "sentinel-users.acl"
        users.write_text(redis_config.render_sentinel_users(accounts("whatsapp")))
        lines += ["port 0", f"dir {self.folder}", f"aclfile {users}"]
        lines += [f"sentinel monitor esq 127.0.0.1 {primary.port} 1"]
        lines += [f"sentinel auth-user esq {redis_config.SENTINEL}", f"sentinel auth-pass esq {PASSWORD}"]
        configuration = self.folder / "sentinel.conf"
        configuration.write_text("\n".join(lines) + "\n")
        server = Server("sentinel", self.folder / "sentinel.log")
        server.launch(["redis-server", str(configuration), "--sentinel"])
        try:
            server.wait_until_ready(lambda: self.primary_by_sentinel() is not None, 20)
            yield
        finally:
            server.send_signal(signal.SIGTERM)

    def primary_by_sentinel(self, password: str = PASSWORD, master: str = "esq") -> str | None:
        """Query the Sentinel as a starting pod does."""
        context = ssl.create_default_context(cafile=self.folder / "ca.crt")
        return write_config.query_sentinel("127.0.0.1", self.sentinel_port, master, password, context)

    @contextmanager
    def probe_client(self, password: str = PASSWORD) -> Iterator[httpx.Client]:
        """Run the probe server and yield a client for it."""
        environment = {"ESQ_PROBE_PASSWORD": password, "ESQ_MASTER_NAME": "esq"}
        with run_probe_server(self.folder, environment) as client:
            yield client


@pytest.fixture
def folder(tmp_path: Path) -> PodFolder:
    return PodFolder(tmp_path)


def test_primary_is_live_and_ready_until_it_stops(folder: PodFolder) -> None:
    with folder.redis() as redis, folder.probe_client() as client:
        assert [client.get(f"/redis/{check}").status_code for check in ("live", "ready")] == [
            HTTPStatus.OK
        ] * 2
        redis.kill()
        response = client.get("/redis/live")
    assert response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert "ConnectionRefusedError" in response.text


def test_replica_without_primary_is_live_but_not_ready(folder: PodFolder) -> None:
    with folder.redis("--replicaof", f"127.0.0.1 {free_port()}"), folder.probe_client() as client:
        assert client.get("/redis/live").status_code == HTTPStatus.OK
        ready = client.get("/redis/ready")
    assert ready.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert ready.text == "a replica without a link to its primary"


def metrics_of(client: httpx.Client) -> dict[str, float]:
    response = client.get("/metrics")
    assert response.status_code == HTTPStatus.OK
    return {name: float(value) for name, value in map(str.rsplit, response.text.splitlines())}


def test_metrics_tell_the_role_and_whether_the_server_answers(folder: PodFolder) -> None:
    with (
        folder.redis("--maxmemory", "32mb") as redis,
        folder.sentinel(redis),
        folder.probe_client() as client,
    ):
        metrics = metrics_of(client)
        redis.kill()
        assert metrics_of(client)["redis_up"] == 0
    assert metrics["redis_up"] == metrics["redis_sentinel_quorum_ok"] == 1
    assert metrics['redis_instance_info{role="master"}'] == 1
    assert metrics["redis_memory_max_bytes"] == 32 * 1024 * 1024
    assert "redis_master_link_up" not in metrics
    assert {name.partition("{")[0] for name in metrics} <= set(scraped_metrics.REDIS.metrics)


def test_metrics_of_a_replica_without_its_primary(folder: PodFolder) -> None:
    with folder.redis("--replicaof", f"127.0.0.1 {free_port()}"), folder.probe_client() as client:
        metrics = metrics_of(client)
    assert metrics['redis_instance_info{role="slave"}'] == 1
    assert metrics["redis_master_link_up"] == metrics["redis_sentinel_quorum_ok"] == 0


def test_wrong_password_is_reported(folder: PodFolder) -> None:
    with folder.redis(), folder.probe_client("wrong") as client:
        assert "WRONGPASS" in client.get("/redis/live").text


def test_sentinel_is_live_and_ready(folder: PodFolder) -> None:
    with folder.redis() as redis, folder.sentinel(redis), folder.probe_client() as client:
        assert client.get("/sentinel/live").status_code == HTTPStatus.OK
        assert client.get("/sentinel/ready").status_code == HTTPStatus.OK


def test_sentinel_without_primary_is_not_ready(folder: PodFolder) -> None:
    with folder.redis() as redis, folder.sentinel(redis), folder.probe_client() as client:
        cli = [
            "redis-cli",
            "--tls",
            "--cacert",
            str(folder.folder / "ca.crt"),
            "-p",
            str(folder.sentinel_port),
        ]
        login = ("--user", redis_config.ADMIN, "-a", PASSWORD)
        subprocess.run([*cli, *login, "sentinel", "remove", "esq"], check=True, capture_output=True)
        response = client.get("/sentinel/ready")
    assert response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert "No such master" in response.text


def test_starting_pod_queries_the_primary_from_a_sentinel(folder: PodFolder) -> None:
    with folder.redis() as redis, folder.sentinel(redis):
        assert folder.primary_by_sentinel() == "127.0.0.1"
        assert folder.primary_by_sentinel(master="another") is None
        assert folder.primary_by_sentinel("wrong") is None
    assert folder.primary_by_sentinel() is None
