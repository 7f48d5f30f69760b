"""Who may read the operations page, and what else its server refuses."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.operations_page.page import build_app
from cli.operations_page.server import OperationsServer
from tests.sample_operations import sample_sources


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OperationsServer]:
    with OperationsServer(build_app(sample_sources(tmp_path))) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join(20)


def request(
    server: OperationsServer, path: str, *, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], str]:
    """Send a request and return status, headers and body; headers are added to those of a browser."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read().decode()
    finally:
        connection.close()


def bearer(server: OperationsServer) -> str:
    return f"Bearer {server.access.token}"


def test_listens_on_loopback_only(server: OperationsServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert server.access.link == f"http://127.0.0.1:{server.server_port}/#token={server.access.token}"
    assert len(server.access.token) >= 43


@pytest.mark.parametrize("path", ["/snapshot.json", "/views/runbook?argument=postgres-down", "/nothing"])
@pytest.mark.parametrize("token", ["", "Bearer ", "Bearer x", "Basic TOKEN", "TOKEN", "Bearer \xe9"])
def test_data_needs_the_token(server: OperationsServer, path: str, token: str) -> None:
    value = token.replace("TOKEN", server.access.token)
    status, _, body = request(server, path, **({"Authorization": value} if value else {}))
    assert status == 401
    assert "zone-a" not in body


def test_token_in_the_query_is_refused(server: OperationsServer) -> None:
    assert request(server, f"/snapshot.json?token={server.access.token}")[0] == 401


def test_snapshot_with_the_token(server: OperationsServer) -> None:
    status, headers, body = request(server, "/snapshot.json", Authorization=bearer(server))
    assert (status, headers["Content-Type"]) == (200, "application/json")
    snapshot = json.loads(body)
    assert snapshot["environment"] == "local"
    assert [panel["id"] for panel in snapshot["panels"]][:2] == ["alerts", "map"]


@pytest.mark.parametrize("host", ["attacker.example", "127.0.0.1", "127.0.0.1:1", "", "[::1]:PORT"])
def test_other_host_names_are_refused(server: OperationsServer, host: str) -> None:
    name = host.replace("PORT", str(server.server_port))
    for path in ("/", "/snapshot.json"):
        assert request(server, path, Host=name, Authorization=bearer(server))[0] == 421


def test_localhost_is_its_name(server: OperationsServer) -> None:
    assert request(server, "/", Host=f"localhost:{server.server_port}")[0] == 200


@pytest.mark.parametrize("path", ["/", "/page.css", "/page.js", "/morph.js"])
def test_assets_are_without_data_and_forbid_everything_foreign(server: OperationsServer, path: str) -> None:
    status, headers, body = request(server, path)
    assert status == 200
    assert server.access.token not in body
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "style=" not in body
    assert "Set-Cookie" not in headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_only_reads(server: OperationsServer, method: str) -> None:
    assert request(server, "/snapshot.json", method=method, Authorization=bearer(server))[0] == 501


@pytest.mark.parametrize("path", ["/../access.py", "/page.html.j2", "/%2e%2e/page.js"])
def test_no_other_files(server: OperationsServer, path: str) -> None:
    assert request(server, path, Authorization=bearer(server))[0] == 404


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/views/nothing?argument=x", "no view"),
        ("/views/runbook?argument=..%2FREADME", "no runbook"),
        ("/views/runbook", "no runbook"),
    ],
)
def test_unknown_view_is_an_error(server: OperationsServer, path: str, reason: str) -> None:
    _, _, body = request(server, path, Authorization=bearer(server))
    assert reason in json.loads(body)["error"]


def test_runbook(server: OperationsServer) -> None:
    _, _, body = request(server, "/views/runbook?argument=postgres-down", Authorization=bearer(server))
    assert "esq status local" in json.loads(body)["html"]
