"""Access to a cluster's addresses and registry, without a cluster: the network, the registry and the edge.

Another host is a network namespace on a link of its own, with a route to the cluster through this host.
"""

from __future__ import annotations

import http
import json
import ssl
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

import httpx
import pytest

from infra.files import write_atomically
from infra.subprocesses import CommandFailedError, run
from infra.zones import ClusterSpec, busybox_image, edge, network, pki, registry
from infra.zones.paths import ClusterPaths
from tests.servers.process import Server, wait_until
from tests.servers.registry import push

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

OTHER_HOST, LINK, LINK_ADDRESS, OTHER_ADDRESS = "esq-test-other", "esq-test-link", "10.92.0.1", "10.92.0.2"
_ACCEPT = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
_CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2).close()"


@pytest.fixture(scope="module")
def spec() -> Iterator[ClusterSpec]:
    """A cluster that consists of its network only."""
    spec = ClusterSpec.model_validate({"name": "access", "subnet": "10.93.0.0/16"})
    network.create(spec)
    network.restrict_access(spec)
    yield spec
    network.remove(spec)
    assert spec.bridge not in run(["ip", "link"]) + run(["nft", "list", "tables"])


@pytest.fixture(scope="module")
def paths(spec: ClusterSpec, tmp_path_factory: pytest.TempPathFactory) -> ClusterPaths:
    """Its files, in a folder with a space and an accent."""
    paths = ClusterPaths(tmp_path_factory.mktemp("größe und ort"), spec.name)
    paths.create(spec.zones)
    pki.ensure(spec, paths)
    return paths


@pytest.fixture(scope="module")
def registry_address(spec: ClusterSpec, paths: ClusterPaths) -> Iterator[str]:
    """A running registry behind the edge."""
    storage = paths.root / "storage"
    config = write_atomically(paths.config / "registry.yml", registry.render(paths, storage))
    write_atomically(edge.backend_ca_file(paths), (paths.pki / "ca.crt").read_text())
    sections = edge.render(spec, paths) + registry.frontend(spec, paths)
    haproxy = write_atomically(paths.config / "haproxy.cfg", sections)
    servers = {
        Server("registry", paths.log("registry")): ["docker-registry", "serve", str(config)],
        Server("edge", paths.log("edge")): ["haproxy", "-db", "-f", str(haproxy)],
    }
    try:
        for server, argv in servers.items():
            server.launch(argv)
        wait_until("the registry", lambda: _status(spec, paths, "zone-a", "GET", "/v2/") == 200, 20)
        yield spec.registry
    finally:
        for server in servers:
            server.kill()


@pytest.fixture(scope="module")
def other_host(spec: ClusterSpec) -> Iterator[str]:
    """Another host on the same link."""
    with suppress(CommandFailedError):
        run(["ip", "netns", "delete", OTHER_HOST])
    run(["ip", "netns", "add", OTHER_HOST])
    try:
        run(["ip", "link", "add", LINK, "type", "veth", "peer", "name", "eth0", "netns", OTHER_HOST])
        run(["ip", "address", "add", f"{LINK_ADDRESS}/24", "dev", LINK])
        run(["ip", "link", "set", LINK, "up"])
        for command in (
            f"address add {OTHER_ADDRESS}/24 dev eth0",
            "link set eth0 up",
            f"route add {spec.subnet} via {LINK_ADDRESS}",
        ):
            run(["ip", "-netns", OTHER_HOST, *command.split()])
        yield OTHER_HOST
    finally:
        run(["ip", "netns", "delete", OTHER_HOST])
        run(["ip", "link", "delete", LINK], check=False)


def _can_connect(namespace: str, spec: ClusterSpec) -> bool:
    address, port = spec.registry.split(":")
    argv = ["ip", "netns", "exec", namespace, "/usr/bin/python3", "-I", "-c", _CONNECT, address, port]
    return subprocess.run(argv, stderr=subprocess.DEVNULL, timeout=20, check=False).returncode == 0


def _status(spec: ClusterSpec, paths: ClusterPaths, identity: str | None, method: str, path: str) -> int:
    """Return the status of a request with a client certificate of the cluster; 0 if TLS or TCP fails."""
    context = ssl.create_default_context(cafile=str(paths.pki / "ca.crt"))
    if identity:
        context.load_cert_chain(paths.pki / f"{identity}.crt", paths.pki / f"{identity}.key")
    try:
        with httpx.Client(verify=context, timeout=10) as client:
            return client.request(method, f"https://{spec.registry}{path}", headers=_ACCEPT).status_code
    except httpx.TransportError:
        return 0


@pytest.mark.usefixtures("registry_address")
def test_other_hosts_cannot_reach_the_addresses_of_a_cluster(spec: ClusterSpec, other_host: str) -> None:
    assert _can_connect(spec.namespace("zone-a"), spec)
    assert not _can_connect(other_host, spec)
    run(["nft", "delete", "table", "inet", spec.nftables_table])
    try:
        assert _can_connect(other_host, spec), "the rules are the reason, not a missing route"
    finally:
        network.restrict_access(spec)
    assert not _can_connect(other_host, spec)


@pytest.mark.usefixtures("registry_address")
def test_registry_requires_a_certificate_of_the_cluster(spec: ClusterSpec, paths: ClusterPaths) -> None:
    assert _status(spec, paths, None, "GET", "/v2/") == 0
    assert _status(spec, paths, "dns", "GET", "/v2/") == http.HTTPStatus.FORBIDDEN
    assert _status(spec, paths, "zone-b", "GET", "/v2/") == http.HTTPStatus.OK


@pytest.mark.usefixtures("registry_address")
def test_nodes_may_not_write(spec: ClusterSpec, paths: ClusterPaths) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        status = _status(spec, paths, "zone-a", method, "/v2/esq/base/blobs/uploads/")
        assert status == http.HTTPStatus.FORBIDDEN


def test_pusher_writes_and_nobody_deletes(
    spec: ClusterSpec, paths: ClusterPaths, registry_address: str
) -> None:
    reference = push(busybox_image.archive(), registry.push_access(spec, paths), "itest/web")
    assert reference.startswith(registry_address)
    manifest = f"/v2/itest/web/manifests/{reference.partition('@')[2]}"
    assert _status(spec, paths, "zone-c", "GET", "/v2/itest/web/manifests/1") == http.HTTPStatus.OK
    assert _status(spec, paths, pki.REGISTRY_PUSHER, "DELETE", manifest) == http.HTTPStatus.FORBIDDEN


def test_interfaces_of_others_are_kept(spec: ClusterSpec) -> None:
    foreign = f"{spec.name}-1"
    run(["ip", "link", "add", foreign, "type", "bridge"])
    try:
        network.create(spec)
        network.restrict_access(spec)
        assert foreign in {link["ifname"] for link in json.loads(run(["ip", "-json", "link"]))}
    finally:
        run(["ip", "link", "delete", foreign])
