"""Requests to an API server that is frozen, or gone for a while."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes import client

from cli.actions.kubernetes_jobs import KubernetesJobs
from infra.components.pod_client import KubernetesPodClient
from infra.errors import UnreachableError, UsageError
from infra.kubernetes import api_client, get_json, get_text
from tests.servers.process import TIMEOUT_MULTIPLIER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.servers.apiserver import ApiServer

pytestmark = [
    pytest.mark.contract,
    # The Kubernetes client calls what urllib3 is about to remove.
    pytest.mark.filterwarnings("ignore:HTTPResponse.getheaders:DeprecationWarning"),
]

LIMIT_SECONDS = 15.0 * TIMEOUT_MULTIPLIER
"""Far above the timeouts of these tests, far below waiting for good."""


@pytest.fixture
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert api_client.__kwdefaults__ == {"timeout_seconds": 10.0, "retry_seconds": 30.0}
    monkeypatch.setitem(api_client.__kwdefaults__, "timeout_seconds", 0.5)
    monkeypatch.setitem(api_client.__kwdefaults__, "retry_seconds", 1.0)


QUESTIONS: dict[str, Callable[[Path], Any]] = {
    "list": lambda path: client.CoreV1Api(api_client(path)).list_node(),
    "create": lambda path: client.CoreV1Api(api_client(path)).create_namespace({"metadata": {"name": "x"}}),
    "json": lambda path: get_json(api_client(path), "/api/v1/nodes"),
    "text": lambda path: get_text(api_client(path), "/api/v1/nodes"),
    "pods": lambda path: KubernetesPodClient(path, "default").list_pods("web"),
    "program in a pod": lambda path: KubernetesPodClient(path, "default").run("web-0", "main", ["true"]),
    "port of a pod": lambda path: KubernetesPodClient(path, "default").get("web-0", 80, "/"),
    "job": lambda path: KubernetesJobs(path, "default").start("backup"),
}


@pytest.mark.usefixtures("short_timeouts")
@pytest.mark.parametrize("question", QUESTIONS)
def test_frozen_api_server_ends_every_request_with_an_error(server: ApiServer, question: str) -> None:
    started = time.monotonic()
    with server.frozen(), pytest.raises(UnreachableError):
        QUESTIONS[question](server.kubeconfig)
    assert time.monotonic() - started < LIMIT_SECONDS


def test_connection_that_was_open_when_the_api_server_froze_has_a_timeout_too(server: ApiServer) -> None:
    core = client.CoreV1Api(api_client(server.kubeconfig, timeout_seconds=0.5, retry_seconds=0))
    core.list_node()
    with server.frozen(), pytest.raises(UnreachableError):
        core.list_node()


def test_float_timeout_of_a_single_request_is_effective(server: ApiServer) -> None:
    core = client.CoreV1Api(api_client(server.kubeconfig, timeout_seconds=600, retry_seconds=0))
    started = time.monotonic()
    with server.frozen(), pytest.raises(UnreachableError):
        core.list_node(_request_timeout=0.5)
    assert time.monotonic() - started < LIMIT_SECONDS


@pytest.mark.parametrize("write", [False, True])
def test_requests_outlast_a_restart_of_the_api_server(server: ApiServer, *, write: bool) -> None:
    core = client.CoreV1Api(api_client(server.kubeconfig, retry_seconds=60 * TIMEOUT_MULTIPLIER))
    server.kill_apiserver()
    refused = client.CoreV1Api(api_client(server.kubeconfig, retry_seconds=0))
    with pytest.raises(UnreachableError):
        refused.list_node()
    body = {"metadata": {"generateName": "restart-"}}
    request = partial(core.create_namespace, body) if write else core.list_namespace
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(request)
        server.restart_apiserver()
        assert answer.result() is not None


def test_kubeconfig_is_read_again_when_it_changes(server: ApiServer, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    text = server.kubeconfig.read_text()
    kubeconfig.write_text(text.replace(server.url, "https://127.0.0.1:1"))
    with pytest.raises(UnreachableError):
        client.CoreV1Api(api_client(kubeconfig, retry_seconds=0)).list_node()
    kubeconfig.write_text(text)
    assert client.CoreV1Api(api_client(kubeconfig)).list_namespace().items


def test_missing_kubeconfig_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        api_client(tmp_path / "none")
    assert str(tmp_path) in error.value.location
