"""An API server, and the servers of the layer behind a gateway that the API server's proxy reaches."""

from __future__ import annotations

import socket
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest
from kubernetes import client

from cli.observability_client import LayerUnavailableError, ObservabilityClient
from infra.certificate_authority import create_ca, issue_certificate
from infra.components import observability
from infra.components.observability.gateway_config import render_gateway
from infra.kubernetes import api_client, get_or_none
from infra.names import OBSERVABILITY_NAMESPACE
from tests.servers.apiserver import ApiServer, running_api_server
from tests.servers.observability import Alertmanager, Gateway, VictoriaLogs, VictoriaMetrics, Vmalert
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TIMEOUT_SECONDS = 30.0
TOKEN = "token-of-the-test"
ALERTMANAGER = "route: {receiver: none, group_wait: 0s}\nreceivers: [{name: none}]\n"
RULES = """
groups:
- name: test
  rules:
  - alert: PostgresDown
    expr: esq_test_up == 0
    labels: {severity: page}
    annotations: {summary: "Postgres is down in {{ $labels.zone }}"}
"""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running_api_server(tmp_path_factory.mktemp("apiserver")) as server:
        yield server


class Layer:
    """The servers of the layer, and a client that reaches them through the API server."""

    def __init__(self, folder: Path, server: ApiServer, stack: ExitStack) -> None:
        self.metrics = stack.enter_context(VictoriaMetrics())
        self.logs = stack.enter_context(VictoriaLogs())
        self.alertmanager = stack.enter_context(Alertmanager(ALERTMANAGER))
        self.vmalert = stack.enter_context(Vmalert(RULES, self.metrics, self.alertmanager))
        backends = {
            observability.METRICS: (self.metrics.url,),
            "rules": (self.vmalert.url,),
            observability.LOGS: (self.logs.url,),
            observability.ALERTMANAGER: (self.alertmanager.url,),
        }
        pair = issue_certificate(create_ca(), "gateway", ("localhost",))
        for name, text in (("tls.crt", pair.certificate), ("tls.key", pair.key)):
            (folder / name).write_text(text)
        text = render_gateway(backends, TOKEN, password="unused")
        self.gateway = stack.enter_context(Gateway(text, folder, host_address()))
        publish_gateway(server, self.gateway.address)
        self.client = ObservabilityClient(server.kubeconfig)
        wait_until("the endpoint of the gateway", self._is_reachable, TIMEOUT_SECONDS)

    def _is_reachable(self) -> bool:
        try:
            return bool(self.client.metrics_query("1"))
        except LayerUnavailableError:
            return False


def host_address() -> str:
    """Return an address of this machine that is not loopback: the API server's proxy reaches no other."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("192.0.2.1", 9))  # sends nothing
        return str(sock.getsockname()[0])


def publish_gateway(server: ApiServer, address: str) -> None:
    """Create the Service of the gateway, a pod with its address, and the Secret with its token.

    The API server's proxy passes requests on to addresses of pods only.
    """
    host, port = address.rsplit(":", 1)
    namespace, metadata = OBSERVABILITY_NAMESPACE, {"name": observability.GATEWAY}
    reference = {"kind": "Pod", "namespace": namespace, "name": observability.GATEWAY}
    subset = {"addresses": [{"ip": host, "targetRef": reference}], "ports": [{"port": int(port)}]}
    secret = {
        "metadata": {"name": observability.TOKEN_SECRET},
        "stringData": {observability.TOKEN_KEY: TOKEN},
    }
    pod = {"metadata": metadata, "spec": {"containers": [{"name": "main", "image": "none"}]}}
    status = {"phase": "Running", "podIP": host, "podIPs": [{"ip": host}]}
    with closing(api_client(server.kubeconfig)) as api:
        core = client.CoreV1Api(api)
        core.create_namespace({"metadata": {"name": namespace}})
        account = core.read_namespaced_service_account
        wait_until(
            "the service account", lambda: bool(get_or_none(lambda: account("default", namespace))), 30.0
        )
        core.create_namespaced_pod(namespace, pod)
        core.patch_namespaced_pod_status(observability.GATEWAY, namespace, {"status": status})
        service = {"metadata": metadata, "spec": {"ports": [{"port": observability.GATEWAY_PORT}]}}
        core.create_namespaced_service(namespace, service)
        core.create_namespaced_endpoints(namespace, {"metadata": metadata, "subsets": [subset]})
        core.create_namespaced_secret(namespace, secret)


@pytest.fixture(scope="session")
def layer(server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layer]:
    with ExitStack() as stack:
        yield Layer(tmp_path_factory.mktemp("layer"), server, stack)
