"""Which requests to an API server are repeated, and how a wait treats an outage."""

from __future__ import annotations

import itertools
import os
import socketserver
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from infra import kubernetes
from infra.certificate_authority import Usage, create_ca, issue_certificate
from infra.errors import EsqError, UnreachableError
from infra.kubernetes import RetryingApiClient, api_client, get_or_none, to_esq_error
from infra.progress import RecordedStep
from infra.waiting import OUTAGE_SECONDS, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The Kubernetes client calls what urllib3 is about to remove.
pytestmark = pytest.mark.filterwarnings("ignore:HTTPResponse.getheaders:DeprecationWarning")

SCALE = {"spec": {"replicas": 1}}


class Answers(ThreadingHTTPServer):
    """Answers with the given statuses, then with 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses: list[int] = []
        self.requests = 0


class _Handler(BaseHTTPRequestHandler):
    server: Answers

    def handle_request(self) -> None:
        self.server.requests += 1
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        body = b'{"items": []}'
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(status)
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PATCH = do_DELETE = handle_request  # noqa: N815 - names of the base class

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    monkeypatch.setattr(kubernetes, "_MIN_BACKOFF_SECONDS", 0.01)
    server = Answers()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def api(answers: Answers, tmp_path: Path) -> RetryingApiClient:
    return client_of(f"http://127.0.0.1:{answers.server_port}", tmp_path)


def client_of(url: str, tmp_path: Path) -> RetryingApiClient:
    document = {
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": url, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "c", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(document))
    return api_client(tmp_path / "kubeconfig")


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_reads_are_repeated(answers: Answers, api: RetryingApiClient, status: int) -> None:
    answers.statuses = [status, status]
    assert client.CoreV1Api(api).list_node().items == []
    assert answers.requests == 3


def test_writes_that_state_values_are_repeated(answers: Answers, api: RetryingApiClient) -> None:
    answers.statuses = [503]
    client.AppsV1Api(api).patch_namespaced_deployment_scale("web", "default", SCALE)
    answers.statuses = [503]
    client.CoreV1Api(api).delete_namespaced_config_map("x", "default")
    assert answers.requests == 4


def test_creation_is_repeated_only_when_it_was_not_handled(answers: Answers, api: RetryingApiClient) -> None:
    answers.statuses = [429]
    client.CoreV1Api(api).create_namespace({})
    assert answers.requests == 2
    answers.statuses = [503]
    with pytest.raises(ApiException):
        client.CoreV1Api(api).create_namespace({})
    assert answers.requests == 3


def test_list_of_operations_is_not_repeated(answers: Answers, api: RetryingApiClient) -> None:
    answers.statuses = [503]
    with pytest.raises(ApiException):
        client.CoreV1Api(api).patch_node("node", [{"op": "add", "path": "/x", "value": 1}])
    assert answers.requests == 1


class BrokenTls(socketserver.ThreadingTCPServer):
    """Reads requests over TLS and answers with bytes that are no TLS."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _BrokenTlsHandler)
        pair = issue_certificate(create_ca(), "server", ("localhost",), Usage.SERVER)
        (folder / "server.pem").write_text(pair.key + pair.certificate)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(folder / "server.pem")
        self.methods: list[str] = []


class _BrokenTlsHandler(socketserver.BaseRequestHandler):
    server: BrokenTls

    def handle(self) -> None:
        with self.server.context.wrap_socket(self.request, server_side=True) as connection:
            self.server.methods.append(connection.recv(4096).split()[0].decode())
            os.write(connection.fileno(), b"no record of TLS")


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_creation_is_not_repeated_when_tls_breaks_after_the_request(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(kubernetes, "_MIN_BACKOFF_SECONDS", 0.01)
    with BrokenTls(tmp_path) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        core = client.CoreV1Api(client_of(f"https://127.0.0.1:{server.server_address[1]}", tmp_path))
        with pytest.raises(UnreachableError):
            core.create_namespace({})
        assert server.methods == ["POST"]
        server.shutdown()


@pytest.mark.parametrize("status", [400, 403, 409])
def test_rejected_request_is_not_repeated(answers: Answers, api: RetryingApiClient, status: int) -> None:
    answers.statuses = [status]
    with pytest.raises(EsqError, match="rejects a request") as error:
        get_or_none(client.CoreV1Api(api).list_node)
    assert not isinstance(error.value, UnreachableError)
    assert answers.requests == 1


def test_overloaded_api_server_is_unreachable() -> None:
    assert isinstance(to_esq_error(ApiException(status=503)), UnreachableError)


def unreachable() -> None:
    raise UnreachableError("the API server does not answer")


def test_wait_ends_with_the_error_of_a_long_outage() -> None:
    clock, step = itertools.count(0, OUTAGE_SECONDS / 4), RecordedStep("wait")
    with pytest.raises(UnreachableError):
        wait_for(unreachable, step, 1e6, interval_seconds=0, clock=lambda: next(clock))
    assert step.statuses


def test_outage_at_the_end_of_a_wait_is_reported_instead_of_its_condition() -> None:
    clock = itertools.count(0, 5.0)
    with pytest.raises(UnreachableError):
        wait_for(unreachable, RecordedStep("wait"), 10, interval_seconds=0, clock=lambda: next(clock))


def test_separate_short_outages_do_not_add_up() -> None:
    clock, questions = itertools.count(0, OUTAGE_SECONDS / 4), itertools.count()

    def condition() -> bool | None:
        question = next(questions)
        if question % 2:
            unreachable()
        return question > 20 or None

    assert wait_for(condition, RecordedStep("wait"), 1e6, interval_seconds=0, clock=lambda: next(clock))


def test_condition_that_never_holds_ends_at_the_limit() -> None:
    clock = itertools.count(0, 5.0)
    never = RecordedStep("wait")
    assert wait_for(lambda: None, never, 10, interval_seconds=0, clock=lambda: next(clock)) is None
    assert never.statuses == []
