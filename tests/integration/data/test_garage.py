"""Three real Garage nodes on loopback, with the rendered settings and the layout job's own code."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config

from infra.certificate_authority import create_ca, issue_certificate
from infra.components.backup.pod_programs import s3
from infra.components.object_store.pod_programs import layout
from infra.config_files import garage as render
from infra.credentials import ObjectStoreCredentials
from tests.controllers.process import await_true

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

ADDRESSES = ("127.95.0.11", "127.95.0.12", "127.95.0.13")
PROXY = 23900
ZONES = ("zone-a", "zone-b", "zone-c")


class Node:
    """A Garage process with its own folder and loopback address."""

    def __init__(self, number: int, folder: Path, credentials: ObjectStoreCredentials) -> None:
        self.address = ADDRESSES[number]
        self.config = folder / "garage.toml"
        meta = folder / "meta"
        meta.mkdir(parents=True)
        key = bytes.fromhex(credentials.node_keys[number])
        (meta / "node_key").write_bytes(key)
        (meta / "node_key.pub").write_bytes(key[32:])
        (folder / "rpc_secret").write_text(credentials.rpc_secret)
        (folder / "admin_token").write_text(credentials.admin_token)
        ids = zip(credentials.node_ids, ADDRESSES, strict=True)
        text = render.render_garage_toml(
            [f"{identity}@{address}:{render.RPC_PORT}" for identity, address in ids]
        )
        text = text.replace(
            f"127.0.0.1:{render.LOOPBACK_S3_PORT}", f"{self.address}:{render.LOOPBACK_S3_PORT}"
        )
        text = text.replace("0.0.0.0", self.address).replace("/var/lib/garage", str(folder))  # noqa: S104 - replaced
        text = f'rpc_public_addr = "{self.address}:{render.RPC_PORT}"\n{text}'
        self.config.write_text(text.replace("/etc/esq/secrets", str(folder)))
        self.log = (folder / "log").open("w")
        self.start()

    def start(self) -> None:
        argv = ["garage", "-c", str(self.config), "server"]
        self.process = subprocess.Popen(argv, stdout=self.log, stderr=subprocess.STDOUT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


@pytest.fixture(scope="module")
def credentials() -> ObjectStoreCredentials:
    return ObjectStoreCredentials()


@pytest.fixture(scope="module")
def nodes(
    credentials: ObjectStoreCredentials, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Node]]:
    if shutil.which("garage") is None:
        pytest.skip("no garage on PATH: `esq toolchain build` makes one")
    with ExitStack() as stack:
        started = []
        for number in range(3):
            node = Node(number, tmp_path_factory.mktemp(f"garage-{number}"), credentials)
            stack.callback(node.log.close)
            stack.callback(node.kill)
            started.append(node)
        yield started


@pytest.fixture(scope="module")
def garage(nodes: list[Node], credentials: ObjectStoreCredentials) -> layout.Garage:
    admin = layout.Garage(
        [f"http://{node.address}:{render.ADMIN_PORT}" for node in nodes], credentials.admin_token
    )
    layout.wait_for_nodes(admin, set(credentials.node_ids), time.monotonic() + 30)
    return admin


def test_layout_bucket_and_objects(
    nodes: list[Node], garage: layout.Garage, credentials: ObjectStoreCredentials
) -> None:
    wanted = dict(zip(credentials.node_ids, ZONES, strict=True))
    assert "applied" in layout.apply_layout(garage, wanted, 1 << 30)
    assert layout.apply_layout(garage, wanted, 1 << 30) == "layout 1 is right"
    key = (credentials.media_key_id, credentials.media_key_secret)
    assert layout.ensure_bucket(garage, "media", *key) == "media: key imported, bucket made"
    assert layout.ensure_bucket(garage, "media", *key) == "media: as it should be"

    def s3(node: Node) -> boto3.client:
        return boto3.client(
            "s3",
            endpoint_url=f"http://{node.address}:{render.LOOPBACK_S3_PORT}",
            region_name=render.REGION,
            aws_access_key_id=key[0],
            aws_secret_access_key=key[1],
            config=Config(s3={"addressing_style": "path"}),
        )

    s3(nodes[0]).put_object(Bucket="media", Key="a", Body=b"one")
    nodes[2].kill()
    s3(nodes[1]).put_object(Bucket="media", Key="b", Body=b"two")
    assert s3(nodes[1]).get_object(Bucket="media", Key="a")["Body"].read() == b"one"
    nodes[2].start()
    returned = layout.Garage([f"http://{nodes[2].address}:{render.ADMIN_PORT}"], credentials.admin_token)
    layout.wait_for_nodes(returned, set(credentials.node_ids), time.monotonic() + 30)
    assert s3(nodes[2]).get_object(Bucket="media", Key="b")["Body"].read() == b"two"


def test_status_is_asked_with_the_command_line(nodes: list[Node]) -> None:
    argv = ["garage", "-c", str(nodes[0].config), "json-api", "GetClusterStatus"]

    def all_up() -> bool:
        asked = subprocess.run(argv, capture_output=True, check=True, timeout=10)
        return {node["isUp"] for node in json.loads(asked.stdout)["nodes"]} == {True}

    # Nodes find each other anew after what the test before did to them.
    await_true("every node sees every other", all_up, 30)
    answer = json.loads(subprocess.run(argv, capture_output=True, check=True, timeout=10).stdout)
    assert {node["role"]["zone"] for node in answer["nodes"]} == set(ZONES)


def test_s3_is_served_with_tls_by_the_proxy(
    nodes: list[Node], garage: layout.Garage, credentials: ObjectStoreCredentials, tmp_path: Path
) -> None:
    """The rendered proxy in front of a node, and the client of the backups through it."""
    key = (credentials.backup_key_id, credentials.backup_key_secret)
    layout.ensure_bucket(garage, "backups", *key)
    authority = create_ca()
    pair = issue_certificate(authority, "objects", ["localhost"])
    (tmp_path / "server.pem").write_text(pair.certificate + pair.key)
    (tmp_path / "ca.crt").write_text(authority.certificate)
    text = (
        render.render_haproxy_config()
        .replace("/etc/esq/secrets", str(tmp_path))
        .replace("127.0.0.1:", f"{nodes[0].address}:")
    )
    text = text.replace(f"bind :{render.S3_PORT}", f"bind 127.0.0.1:{PROXY}")
    (tmp_path / "haproxy.cfg").write_text(
        text.replace(f"bind :{render.PROXY_HEALTH_PORT}", f"bind 127.0.0.1:{PROXY + 1}")
    )
    proxy = subprocess.Popen(["haproxy", "-db", "-f", str(tmp_path / "haproxy.cfg")])
    try:
        url, ca = f"https://localhost:{PROXY}", str(tmp_path / "ca.crt")
        store = s3.S3Bucket("backups", url, render.REGION, "backups", *key, ca)
        await_true("the proxy", lambda: _answers(store), 15)
        store.put("witness/Olá +1.json", b"one")
        assert store.get("witness/Olá +1.json") == b"one"
        assert store.get("witness/none") is None
        for number in range(1, 4):
            store.put(f"many/{number}", bytes(number))
        assert [(entry.key, entry.size) for entry in store.list("many/")] == [
            (f"many/{number}", number) for number in range(1, 4)
        ]
        (entry,) = store.list("many/3")
        store.copy(s3.ObjectEntry("copies/3", entry.size, ""), store, "many/3")
        assert store.get("copies/3") == bytes(3)
        stranger = s3.S3Bucket("backups", url, render.REGION, "media", *key, ca)
        with pytest.raises(OSError, match="403"):
            stranger.get("a")
    finally:
        proxy.kill()
        proxy.wait(10)


def _answers(store: s3.S3Bucket) -> bool:
    try:
        return store.get("none") is None
    except OSError:
        return False
