"""What a kubelet is told of a real Redis with TLS and a password: serving, without its primary, gone."""

from __future__ import annotations

from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra.components.redis import probe
from infra.credentials import complete
from tests.controllers.prober import probing
from tests.controllers.process import free_port
from tests.controllers.redis import Redis

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

pytestmark = pytest.mark.integration
PASSWORD = "opensesame"


@contextmanager
def asked(folder: Path, *options: str, password: str = PASSWORD) -> Iterator[tuple[Redis, httpx.Client]]:
    """Start a Redis, and the prober beside it as a pod has it."""
    credentials, port = complete(), free_port()
    files = {
        "ca.crt": credentials.authority.certificate,
        "tls.crt": credentials.certificates["redis"].certificate,
        "tls.key": credentials.certificates["redis"].key,
        "probe.py": Path(probe.__file__)
        .read_text()
        .replace("6379, 26379", f"{port}, {port}")
        .replace("/etc/esq/tls", str(folder)),
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    tls = ["--tls-port", str(port), "--tls-auth-clients", "no"]
    for option, name in (("cert-file", "tls.crt"), ("key-file", "tls.key"), ("ca-cert-file", "ca.crt")):
        tls += [f"--tls-{option}", str(folder / name)]
    redis = Redis(*tls, *options, password=PASSWORD)
    redis.start()
    try:
        passwords = {"ESQ_PASSWORD": password, "ESQ_SENTINEL_PASSWORD": password}
        with probing(folder, {**passwords, "ESQ_MASTER": "esq"}) as client:
            yield redis, client
    finally:
        redis.stop()


def test_a_primary_lives_and_serves_until_it_is_gone(tmp_path: Path) -> None:
    with asked(tmp_path) as (redis, client):
        assert [client.get(path).status_code for path in ("/redis/live", "/redis/ready")] == [
            HTTPStatus.OK
        ] * 2
        redis.kill()
        gone = client.get("/redis/live")
    assert gone.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert "ConnectionRefusedError" in gone.text


def test_a_replica_that_hears_no_primary_lives_and_is_not_ready(tmp_path: Path) -> None:
    with asked(tmp_path, "--replicaof", f"127.0.0.1 {free_port()}") as (_, client):
        assert client.get("/redis/live").status_code == HTTPStatus.OK
        ready = client.get("/redis/ready")
    assert ready.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert ready.text == "a replica without a link to its primary"


def test_a_wrong_password_is_told(tmp_path: Path) -> None:
    with asked(tmp_path, password="wrong") as (_, client):
        assert "WRONGPASS" in client.get("/redis/live").text


def test_a_server_that_elects_nobody_is_told(tmp_path: Path) -> None:
    with asked(tmp_path) as (_, client):
        assert client.get("/sentinel/live").status_code == HTTPStatus.OK
        elects = client.get("/sentinel/ready")
    assert elects.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert "unknown command" in elects.text
