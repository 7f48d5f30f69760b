"""The edge, with backends on loopback addresses, while they are replaced one by one."""

from __future__ import annotations

import http.server
import ssl
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from infra.certificate_authority import KeyPair, create_ca, issue_certificate
from infra.errors import EsqError
from infra.zones import edge
from infra.zones.paths import ClusterPaths
from infra.zones.spec import ClusterSpec
from services.contracts.endpoints import PUBLIC_ENDPOINTS, READINESS_PATH
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

SPEC = ClusterSpec.model_validate({"name": "trust", "subnet": "127.96.0.0/16"})
ENDPOINT = PUBLIC_ENDPOINTS[0]
PATH = ENDPOINT.path_prefixes[0]
SLOW_PATH = f"{PATH}/slow"


class Backend(http.server.ThreadingHTTPServer):
    """The processes of the endpoint in one zone."""

    def __init__(self, zone: str) -> None:
        super().__init__((str(SPEC.node(zone)), ENDPOINT.node_port), Handler)
        self.readiness = 200
        self.slow_request_arrived = threading.Event()
        self.may_answer = threading.Event()

    def handle_error(self, *_: object) -> None:
        """Ignore refused handshakes, which are expected."""


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers every request with the address of its zone, and a request for `SLOW_PATH` when it is told to."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == SLOW_PATH:
            self.server.slow_request_arrived.set()
            assert self.server.may_answer.wait(10)
        self.send_response(self.server.readiness if self.path == READINESS_PATH else 200)
        self.send_header("X-Address", self.connection.getsockname()[0])
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET  # noqa: N815 - the base class calls it by this name

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def backend(zone: str, ca: KeyPair, folder: Path) -> Iterator[Backend]:
    """Serve the endpoint in a zone with a certificate of this authority."""
    pair = issue_certificate(ca, ENDPOINT.service, [ENDPOINT.service])
    chain = folder / f"{zone}.pem"
    chain.write_text(pair.certificate + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    server = Backend(zone)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[ClusterPaths]:
    """Files of a cluster that has an edge only."""
    paths = ClusterPaths(tmp_path / "größe und ort", SPEC.name)
    paths.create(SPEC.zones)
    yield paths
    for file in (*paths.run.iterdir(), paths.run):
        file.rmdir() if file.is_dir() else file.unlink()


@contextmanager
def running_edge(paths: ClusterPaths, trusted: KeyPair) -> Iterator[httpx.Client]:
    """Run the edge and return its client."""
    ca = create_ca()
    gateway = issue_certificate(ca, "edge", [], ip_addresses=[str(SPEC.gateway)])
    (paths.pki / "gateway.pem").write_text(gateway.certificate + gateway.key)
    edge.backend_ca_file(paths).write_text(trusted.certificate)
    (paths.config / "haproxy.cfg").write_text(edge.render(SPEC, paths))
    process = subprocess.Popen(["haproxy", "-db", "-f", str(paths.config / "haproxy.cfg")])
    context = ssl.create_default_context(cadata=ca.certificate)
    try:
        with httpx.Client(base_url=f"https://{SPEC.gateway}", verify=context) as client:
            yield client
    finally:
        process.kill()
        process.wait()


def serving_address(client: httpx.Client) -> str | None:
    """Return the address of the backend that answers; None if the edge has none."""
    try:
        return client.get(PATH).headers.get("X-Address")
    except httpx.TransportError:
        return None


def serving_addresses(client: httpx.Client) -> set[str | None]:
    """Return the addresses of all backends that answer: the edge alternates between them."""
    return {serving_address(client) for _ in SPEC.zones}


def client_address(client: httpx.Client) -> object:
    """Return the address of the client's connection."""
    return client.get(PATH).extensions["network_stream"].get_extra_info("client_addr")


def test_the_authority_is_replaced_without_closing_a_connection(paths: ClusterPaths, tmp_path: Path) -> None:
    old, new, zone_b = create_ca(), create_ca(), str(SPEC.node("zone-b"))
    with ExitStack() as stack:
        client = stack.enter_context(running_edge(paths, old))
        old_backend = stack.enter_context(ExitStack())
        old_backend.enter_context(backend("zone-a", old, tmp_path))
        wait_until("the old backend", lambda: serving_address(client) is not None, 10)
        address = client_address(client)

        edge.trust_backend_ca(paths, old.certificate + new.certificate)
        stack.enter_context(backend("zone-b", new, tmp_path))
        assert serving_address(client)
        old_backend.close()
        wait_until("the new backend only", lambda: serving_addresses(client) == {zone_b}, 10)

        edge.trust_backend_ca(paths, new.certificate)
        assert serving_addresses(client) == {zone_b}
        assert client_address(client) == address


def test_a_retired_authority_is_rejected(paths: ClusterPaths, tmp_path: Path) -> None:
    old, new = create_ca(), create_ca()
    with running_edge(paths, old) as client, backend("zone-a", old, tmp_path):
        wait_until("the backend", lambda: serving_address(client) is not None, 10)
        edge.trust_backend_ca(paths, new.certificate)
        wait_until("its rejection", lambda: serving_address(client) is None, 10)


def test_an_edge_that_does_not_run_is_reported(paths: ClusterPaths) -> None:
    with pytest.raises(EsqError, match="does not accept"):
        edge.trust_backend_ca(paths, create_ca().certificate)


def test_a_stopping_backend_answers_its_requests_and_receives_no_others(
    paths: ClusterPaths, tmp_path: Path
) -> None:
    ca = create_ca()
    with ExitStack() as stack:
        client = stack.enter_context(running_edge(paths, ca))
        stopping = stack.enter_context(backend("zone-a", ca, tmp_path))
        wait_until("the backend", lambda: serving_address(client) is not None, 10)
        pool = stack.enter_context(ThreadPoolExecutor(1))
        slow = pool.submit(client.post, SLOW_PATH)  # the edge does not repeat it
        assert stopping.slow_request_arrived.wait(10)
        stack.enter_context(backend("zone-b", ca, tmp_path))
        stopping.readiness = 404
        zone_b = str(SPEC.node("zone-b"))
        wait_until("the other backend only", lambda: serving_addresses(client) == {zone_b}, 10)
        stopping.may_answer.set()
        assert slow.result(10).headers["X-Address"] == str(SPEC.node("zone-a"))
