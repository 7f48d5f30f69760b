"""Three real Garage nodes on loopback, with the rendered configuration and the code of the layout job."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

from infra.certificate_authority import create_ca, issue_certificate
from infra.components.backup.pod_programs import s3
from infra.components.object_store.pod_programs import layout
from infra.config_files import garage as garage_config
from infra.credentials import ObjectStoreCredentials
from tests.servers.process import Server, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

NETWORK = "127.{}.{}".format(*divmod(free_port(), 256))
"""The nodes listen on the declared ports of loopback addresses that no other test process gets."""
ADDRESSES = (f"{NETWORK}.11", f"{NETWORK}.12", f"{NETWORK}.13")
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
        text = garage_config.render_garage_toml(
            [f"{node_id}@{address}:{garage_config.RPC_PORT}" for node_id, address in ids]
        )
        text = text.replace(
            f"127.0.0.1:{garage_config.LOOPBACK_S3_PORT}", f"{self.address}:{garage_config.LOOPBACK_S3_PORT}"
        )
        text = text.replace("0.0.0.0", self.address).replace("/var/lib/garage", str(folder))  # noqa: S104 - replaced
        text = f'rpc_public_addr = "{self.address}:{garage_config.RPC_PORT}"\n{text}'
        self.config.write_text(text.replace("/etc/esq/secrets", str(folder)))
        self._server = Server("garage", folder / "log")

    def start(self) -> None:
        self._server.launch(["garage", "-c", str(self.config), "server"])
        self._server.wait_until_ready(self._is_listening, 30)

    def kill(self) -> None:
        self._server.kill()

    def _is_listening(self) -> bool:
        with suppress(OSError), socket.create_connection((self.address, garage_config.ADMIN_PORT), timeout=1):
            return True
        return False


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
        folders = [tmp_path_factory.mktemp(f"garage-{number}") for number in range(3)]
        created = [Node(number, folder, credentials) for number, folder in enumerate(folders)]
        for node in created:
            stack.callback(node.kill)
            node.start()
        yield created


@pytest.fixture(scope="module")
def garage(nodes: list[Node], credentials: ObjectStoreCredentials) -> layout.Garage:
    admin = layout.Garage(
        [f"http://{node.address}:{garage_config.ADMIN_PORT}" for node in nodes], credentials.admin_token
    )
    layout.wait_for_nodes(admin, set(credentials.node_ids), time.monotonic() + 30)
    return admin


def test_layout_bucket_and_objects(
    nodes: list[Node], garage: layout.Garage, credentials: ObjectStoreCredentials
) -> None:
    desired_zones = dict(zip(credentials.node_ids, ZONES, strict=True))
    assert "applied" in layout.apply_layout(garage, desired_zones, 1 << 30)
    assert layout.apply_layout(garage, desired_zones, 1 << 30) == "layout 1 is up to date"
    key = (credentials.media_key_id, credentials.media_key_secret)
    assert layout.ensure_bucket(garage, "media", *key) == "media: key imported, bucket created"
    assert layout.ensure_bucket(garage, "media", *key) == "media: up to date"

    def client(node: Node) -> boto3.client:
        return boto3.client(
            "s3",
            endpoint_url=f"http://{node.address}:{garage_config.LOOPBACK_S3_PORT}",
            region_name=garage_config.REGION,
            aws_access_key_id=key[0],
            aws_secret_access_key=key[1],
            config=Config(s3={"addressing_style": "path"}),
        )

    client(nodes[0]).put_object(Bucket="media", Key="a", Body=b"one")
    nodes[2].kill()
    client(nodes[1]).put_object(Bucket="media", Key="b", Body=b"two")
    assert client(nodes[1]).get_object(Bucket="media", Key="a")["Body"].read() == b"one"
    nodes[2].start()
    restarted = layout.Garage(
        [f"http://{nodes[2].address}:{garage_config.ADMIN_PORT}"], credentials.admin_token
    )
    layout.wait_for_nodes(restarted, set(credentials.node_ids), time.monotonic() + 30)
    assert client(nodes[2]).get_object(Bucket="media", Key="b")["Body"].read() == b"two"


def test_cluster_status_command(nodes: list[Node]) -> None:
    argv = ["garage", "-c", str(nodes[0].config), "json-api", "GetClusterStatus"]
    reported: list[dict[str, Any]] = []

    def all_up() -> bool:
        done = subprocess.run(argv, capture_output=True, check=False, timeout=30)
        reported[:] = json.loads(done.stdout)["nodes"] if done.returncode == 0 else []
        return {node["isUp"] for node in reported} == {True}

    # The nodes reconnect after the restarts of the previous test; until then the command may fail.
    wait_until("every node sees every other", all_up, 60)
    assert {node["role"]["zone"] for node in reported} == set(ZONES)


def test_proxy_serves_s3_with_tls(
    nodes: list[Node], garage: layout.Garage, credentials: ObjectStoreCredentials, tmp_path: Path
) -> None:
    """The rendered proxy in front of a node, used by the S3 client of the backups."""
    key = (credentials.backup_key_id, credentials.backup_key_secret)
    layout.ensure_bucket(garage, "backups", *key)
    port, health_port = free_port(), free_port()
    ca = create_ca()
    pair = issue_certificate(ca, "object-store", ["localhost"])
    (tmp_path / "server.pem").write_text(pair.certificate + pair.key)
    (tmp_path / "ca.crt").write_text(ca.certificate)
    text = (
        garage_config.render_haproxy_config()
        .replace("/etc/esq/secrets", str(tmp_path))
        .replace("127.0.0.1:", f"{nodes[0].address}:")
    )
    text = text.replace(f"bind :{garage_config.S3_PORT}", f"bind 127.0.0.1:{port}")
    (tmp_path / "haproxy.cfg").write_text(
        text.replace(f"bind :{garage_config.PROXY_HEALTH_PORT}", f"bind 127.0.0.1:{health_port}")
    )
    proxy = subprocess.Popen(["haproxy", "-db", "-f", str(tmp_path / "haproxy.cfg")])
    try:
        url, ca = f"https://localhost:{port}", str(tmp_path / "ca.crt")
        store = s3.S3Bucket("backups", url, garage_config.REGION, "backups", *key, ca)
        wait_until("the proxy", lambda: _is_ready(store), 15)
        store.put("checksums/Olá +1.json", b"one")
        assert store.get("checksums/Olá +1.json") == b"one"
        assert store.get("checksums/none") is None
        for number in range(1, 4):
            store.put(f"many/{number}", bytes(number))
        assert [(entry.key, entry.size) for entry in store.list("many/")] == [
            (f"many/{number}", number) for number in range(1, 4)
        ]
        (entry,) = store.list("many/3")
        store.copy(s3.ObjectEntry("copies/3", entry.size, ""), store, "many/3")
        assert store.get("copies/3") == bytes(3)
        other_bucket = s3.S3Bucket("backups", url, garage_config.REGION, "media", *key, ca)
        with pytest.raises(OSError, match="403"):
            other_bucket.get("a")
    finally:
        proxy.kill()
        proxy.wait(10)


def _is_ready(store: s3.S3Bucket) -> bool:
    try:
        return store.get("none") is None
    except OSError:
        return False
