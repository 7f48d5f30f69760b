"""Three real Garage nodes on loopback, with the rendered configuration and proxy, and the layout job's code."""

from __future__ import annotations

import glob
import json
import os
import shutil
import socket
import ssl
import subprocess
import time
from contextlib import ExitStack, suppress
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import httpx
import pytest
from botocore.config import Config

from chaos import bit_flipper
from infra.certificate_authority import Usage, create_ca, issue_certificate
from infra.components.backup.pod_programs import s3
from infra.components.object_store import scrub
from infra.components.object_store.pod_programs import layout
from infra.config_files import garage as garage_config
from infra.credentials import ObjectStoreCredentials
from infra.names import OBJECT_STORE_ADMIN
from tests.servers.process import Server, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from infra.components.component_health import Pod

pytestmark = pytest.mark.integration

NETWORK = "127.{}.{}".format(*divmod(free_port(), 256))
"""Listeners use the declared ports of loopback addresses that no other test process gets."""
ADDRESSES = (f"{NETWORK}.11", f"{NETWORK}.12", f"{NETWORK}.13")
"""Stand for the loopback address in each pod."""
POD_ADDRESSES = (f"{NETWORK}.21", f"{NETWORK}.22", f"{NETWORK}.23")
"""Stand for the address of each pod."""
PROXY_ADDRESS = f"{NETWORK}.31"
ZONES = ("zone-a", "zone-b", "zone-c")


class Node:
    """A Garage process with its own folder and loopback address."""

    def __init__(self, number: int, folder: Path, credentials: ObjectStoreCredentials) -> None:
        self.address, self.pod_address = ADDRESSES[number], POD_ADDRESSES[number]
        self.config = folder / "garage.toml"
        meta = folder / "meta"
        meta.mkdir(parents=True)
        key = bytes.fromhex(credentials.node_keys[number])
        (meta / "node_key").write_bytes(key)
        (meta / "node_key.pub").write_bytes(key[32:])
        (folder / "rpc_secret").write_text(credentials.rpc_secret)
        (folder / "admin_token").write_text(credentials.admin_token)
        ids = zip(credentials.node_ids, POD_ADDRESSES, strict=True)
        text = garage_config.render_garage_toml(
            [f"{node_id}@{address}:{garage_config.RPC_PORT}" for node_id, address in ids]
        )
        # The three nodes share one network namespace: each has its own loopback address.
        text = text.replace("127.0.0.1:", f"{self.address}:")
        text = text.replace("0.0.0.0", self.pod_address).replace("/var/lib/garage", str(folder))  # noqa: S104 - replaced
        text = f'rpc_public_addr = "{self.pod_address}:{garage_config.RPC_PORT}"\n{text}'
        self.config.write_text(text.replace("/etc/esq/secrets", str(folder)))
        self._server = Server("garage", folder / "log")

    def start(self) -> None:
        self._server.launch(["garage", "-c", str(self.config), "server"])
        self._server.wait_until_ready(self._is_listening, 30)

    def kill(self) -> None:
        self._server.kill()

    def _is_listening(self) -> bool:
        with (
            suppress(OSError),
            socket.create_connection((self.address, garage_config.LOOPBACK_ADMIN_PORT), timeout=1),
        ):
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
        [f"http://{node.address}:{garage_config.LOOPBACK_ADMIN_PORT}" for node in nodes],
        ["of-another-generation", credentials.admin_token],
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
    assert layout.ensure_bucket(garage, "media", dict([key])) == "media: key imported, bucket created"
    assert layout.ensure_bucket(garage, "media", dict([key])) == "media: up to date"

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
        [f"http://{nodes[2].address}:{garage_config.LOOPBACK_ADMIN_PORT}"], [credentials.admin_token]
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


class NodePods:
    """The pod of a node, whose files replace those of the container."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def list_pods(self, name: str) -> Sequence[Pod]:
        raise NotImplementedError

    def get(self, pod: str, port: int, path: str) -> str:
        raise NotImplementedError

    def run(self, _pod: str, _container: str, argv: Sequence[str]) -> str:
        folder = self._node.config.parent
        arguments = [argument.replace("/var/lib/garage", str(folder)) for argument in argv]
        if arguments[0] == "garage":
            arguments[1:1] = ["-c", str(self._node.config)]
        return subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=60).stdout


def test_damaged_block_is_found_named_and_copied_from_another_node(
    nodes: list[Node], garage: layout.Garage, credentials: ObjectStoreCredentials
) -> None:
    layout.apply_layout(garage, dict(zip(credentials.node_ids, ZONES, strict=True)), 1 << 30)
    key = (credentials.backup_key_id, credentials.backup_key_secret)
    layout.ensure_bucket(garage, "scrubbed", dict([key]))
    s3_client = boto3.client(
        "s3",
        endpoint_url=f"http://{nodes[0].address}:{garage_config.LOOPBACK_S3_PORT}",
        region_name=garage_config.REGION,
        aws_access_key_id=key[0],
        aws_secret_access_key=key[1],
        config=Config(s3={"addressing_style": "path"}),
    )
    s3_client.put_object(Bucket="scrubbed", Key="a", Body=os.urandom(20_000))
    blocks = str(nodes[0].config.parent / "data" / "??" / "??" / "*")
    # Two of three nodes acknowledge; this one may be the third.
    wait_until("the block on the node", lambda: bool(glob.glob(blocks)), 30)  # noqa: PTH207 - as the program does
    file, offset, digest = bit_flipper.locate([blocks])
    pods = NodePods(nodes[0])
    assert scrub.scrub(pods, "object-store-0") == []
    assert bit_flipper.flip(file, offset, digest)
    (damage,) = scrub.scrub(pods, "object-store-0")
    assert damage.location == f"block {Path(file).name}"
    assert damage.repaired
    assert not bit_flipper.flip(file, offset, digest, restore=True)
    assert scrub.scrub(pods, "object-store-0") == []


class Proxy:
    """The rendered TLS proxy in front of the first node; clients have the files of `client`."""

    def __init__(self, folder: Path, node: Node) -> None:
        self.folder, ca = folder, create_ca()
        pair = issue_certificate(ca, "object-store", (), ip_addresses=[PROXY_ADDRESS])
        (folder / "server.pem").write_text(pair.certificate + pair.key)
        (folder / "ca.crt").write_text(ca.certificate)
        for name, usage in (
            (OBJECT_STORE_ADMIN, Usage.CLIENT),
            (OBJECT_STORE_ADMIN, Usage.SERVER),
            ("other", Usage.CLIENT),
        ):
            pair = issue_certificate(ca, name, (), usage)
            client = folder / f"{name}-{usage}"
            client.mkdir()
            (client / "tls.crt").write_text(pair.certificate)
            (client / "tls.key").write_text(pair.key)
            (client / "ca.crt").write_text(ca.certificate)
        text = garage_config.render_haproxy_config().replace("127.0.0.1:", f"{node.address}:")
        text = text.replace("bind :", f"bind {PROXY_ADDRESS}:").replace("/etc/esq/secrets", str(folder))
        (folder / "haproxy.cfg").write_text(text)

    def client(self, name: str, usage: Usage) -> ssl.SSLContext:
        """Return the TLS context of a client with the certificate of this name and usage."""
        return layout.client_context(self.folder / f"{name}-{usage}")

    @staticmethod
    def url(port: int) -> str:
        """Return the HTTPS URL of a port."""
        return f"https://{PROXY_ADDRESS}:{port}"


@pytest.fixture(scope="module")
def proxy(nodes: list[Node], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    started = Proxy(tmp_path_factory.mktemp("proxy"), nodes[0])
    process = subprocess.Popen(["haproxy", "-db", "-f", str(started.folder / "haproxy.cfg")])
    try:
        wait_until("the proxy", lambda: _probe(started, garage_config.PROXY_PROBE_PATH) == HTTPStatus.OK, 15)
        yield started
    finally:
        process.kill()
        process.wait(10)


def _probe(proxy: Proxy, path: str) -> int:
    """Return the status of a probe, as the kubelet sends it: it verifies no certificate."""
    try:
        return httpx.get(f"{proxy.url(garage_config.PROBE_PORT)}{path}", verify=False, timeout=5).status_code  # noqa: S501 - see above
    except httpx.TransportError:
        return 0


def test_proxy_serves_s3_with_tls(
    proxy: Proxy, garage: layout.Garage, credentials: ObjectStoreCredentials
) -> None:
    """The rendered proxy in front of a node, used by the S3 client of the backups."""
    key = (credentials.backup_key_id, credentials.backup_key_secret)
    layout.ensure_bucket(garage, "backups", dict([key]))
    url, ca = proxy.url(garage_config.S3_PORT), str(proxy.folder / "ca.crt")
    store = s3.S3Bucket("backups", url, garage_config.REGION, "backups", *key, ca)
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


def test_admin_api_requires_its_client_certificate(proxy: Proxy, credentials: ObjectStoreCredentials) -> None:
    def call(context: ssl.SSLContext) -> object:
        url = proxy.url(garage_config.ADMIN_PORT)
        return layout.Garage([url], [credentials.admin_token], context).call("GetClusterStatus")

    assert call(proxy.client(OBJECT_STORE_ADMIN, Usage.CLIENT))
    without = ssl.create_default_context(cafile=str(proxy.folder / "ca.crt"))
    refused = (proxy.client(OBJECT_STORE_ADMIN, Usage.SERVER), proxy.client("other", Usage.CLIENT), without)
    for context in refused:
        with pytest.raises(OSError, match=r"(?i)alert|EOF|closed|reset"):
            call(context)


@pytest.mark.usefixtures("proxy")
def test_admin_api_is_closed_in_clear_to_other_pods(
    nodes: list[Node], credentials: ObjectStoreCredentials
) -> None:
    ports = (garage_config.ADMIN_PORT, garage_config.LOOPBACK_ADMIN_PORT, garage_config.LOOPBACK_S3_PORT)
    for port in ports:
        with socket.socket() as client, pytest.raises(ConnectionRefusedError):
            client.connect((nodes[0].pod_address, port))
    for port in (garage_config.ADMIN_PORT, garage_config.PROBE_PORT, garage_config.S3_PORT):
        plain = layout.Garage([f"http://{PROXY_ADDRESS}:{port}"], [credentials.admin_token])
        with pytest.raises(OSError):  # noqa: PT011 - refused in whatever way
            plain.call("GetClusterStatus")


@pytest.mark.usefixtures("garage")
def test_probes_reach_the_health_of_garage_and_nothing_else(proxy: Proxy) -> None:
    wait_until("health", lambda: _probe(proxy, garage_config.GARAGE_PROBE_PATH) == HTTPStatus.OK, 30)
    assert _probe(proxy, "/v2/GetClusterStatus") == HTTPStatus.FORBIDDEN
    assert _probe(proxy, "/metrics") == HTTPStatus.FORBIDDEN
