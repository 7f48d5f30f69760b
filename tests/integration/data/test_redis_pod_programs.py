"""The scripts in a pod of Redis beside a real Redis and a real Sentinel, with TLS and passwords."""

from __future__ import annotations

import signal
import ssl
import subprocess
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra.components.redis.pod_programs import probe, write_config
from infra.credentials import complete_credentials
from tests.controllers.prober import probing
from tests.controllers.process import Server, free_port
from tests.controllers.redis import Redis

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

pytestmark = pytest.mark.integration
PASSWORD = "opensesame"


class Place:
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
        """Options of a server that is to be reached by TLS alone."""
        files = {"cert-file": "tls.crt", "key-file": "tls.key", "ca-cert-file": "ca.crt"}
        paths = {f"tls-{option}": str(self.folder / name) for option, name in files.items()}
        return {"tls-port": str(port), "tls-auth-clients": "no", **paths}

    @contextmanager
    def redis(self, *options: str) -> Iterator[Redis]:
        """Run a server; a plain port too, which only this test's own control uses."""
        given = [word for option, value in self.tls(self.port).items() for word in (f"--{option}", value)]
        redis = Redis(*given, *options, password=PASSWORD)
        redis.start()
        try:
            yield redis
        finally:
            redis.stop()

    @contextmanager
    def sentinel(self, primary: Redis) -> Iterator[None]:
        """Run a Sentinel that is enough by itself."""
        lines = [f"{option} {value}" for option, value in self.tls(self.sentinel_port).items()]
        lines += ["port 0", f"dir {self.folder}", f"requirepass {PASSWORD}"]
        lines += [f"sentinel monitor esq 127.0.0.1 {primary.port} 1", f"sentinel auth-pass esq {PASSWORD}"]
        configuration = self.folder / "sentinel.conf"
        configuration.write_text("\n".join(lines) + "\n")
        server = Server("sentinel", self.folder / "sentinel.log")
        server.launch(["redis-server", str(configuration), "--sentinel"])
        try:
            server.await_ready(lambda: self.primary_by_sentinel() is not None, 20)
            yield
        finally:
            server.send(signal.SIGTERM)

    def primary_by_sentinel(self, password: str = PASSWORD, master: str = "esq") -> str | None:
        """Ask as a starting pod does."""
        context = ssl.create_default_context(cafile=self.folder / "ca.crt")
        return write_config.query_sentinel("127.0.0.1", self.sentinel_port, master, password, context)

    @contextmanager
    def asked(self, password: str = PASSWORD) -> Iterator[httpx.Client]:
        """Run the prober; give a client of it."""
        passwords = {"ESQ_PASSWORD": password, "ESQ_SENTINEL_PASSWORD": password}
        with probing(self.folder, {**passwords, "ESQ_MASTER": "esq"}) as client:
            yield client


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_primary_lives_and_serves_until_it_is_gone(place: Place) -> None:
    with place.redis() as redis, place.asked() as client:
        assert [client.get(f"/redis/{each}").status_code for each in ("live", "ready")] == [HTTPStatus.OK] * 2
        redis.kill()
        gone = client.get("/redis/live")
    assert gone.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert "ConnectionRefusedError" in gone.text


def test_a_replica_that_hears_no_primary_lives_and_is_not_ready(place: Place) -> None:
    with place.redis("--replicaof", f"127.0.0.1 {free_port()}"), place.asked() as client:
        assert client.get("/redis/live").status_code == HTTPStatus.OK
        ready = client.get("/redis/ready")
    assert ready.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert ready.text == "a replica without a link to its primary"


def test_a_wrong_password_is_told(place: Place) -> None:
    with place.redis(), place.asked("wrong") as client:
        assert "WRONGPASS" in client.get("/redis/live").text


def test_a_sentinel_lives_and_elects(place: Place) -> None:
    with place.redis() as redis, place.sentinel(redis), place.asked() as client:
        assert client.get("/sentinel/live").status_code == HTTPStatus.OK
        assert client.get("/sentinel/ready").status_code == HTTPStatus.OK


def test_what_elects_nobody_is_told(place: Place) -> None:
    with place.redis() as redis, place.sentinel(redis), place.asked() as client:
        cli = ["redis-cli", "--tls", "--cacert", str(place.folder / "ca.crt"), "-p", str(place.sentinel_port)]
        subprocess.run([*cli, "-a", PASSWORD, "sentinel", "remove", "esq"], check=True, capture_output=True)
        elects = client.get("/sentinel/ready")
    assert elects.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert "No such master" in elects.text


def test_a_starting_pod_is_told_the_primary_by_a_sentinel(place: Place) -> None:
    with place.redis() as redis, place.sentinel(redis):
        assert place.primary_by_sentinel() == "127.0.0.1"
        assert place.primary_by_sentinel(master="another") is None
        assert place.primary_by_sentinel("wrong") is None
    assert place.primary_by_sentinel() is None
