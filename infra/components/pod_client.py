"""Pod client that uses the API server, so that the data layer needs no access from outside the cluster."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kubernetes import client, stream
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError
from websocket import WebSocketException

from infra.components.component_health import Pod, PodUnreachableError
from infra.kubernetes import api_client
from infra.names import NAME_LABEL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TIMEOUT_SECONDS = 3.0
"""Timeout of each query: a status that names unreachable pods is better than one that hangs."""
_ZONE_LABEL = "topology.kubernetes.io/zone"
_MAX_ERROR_CHARACTERS = 200


class KubernetesPodClient:
    """The pods of a namespace. Thread-safe: each call opens its own connection.

    Args:
        kubeconfig: path of the kubeconfig.
        namespace: name of the namespace.
    """

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self.namespace = namespace
        self._kubeconfig = kubeconfig
        self._zones: dict[str, str] | None = None

    def _api(self) -> client.CoreV1Api:
        # `stream` replaces a method of its client while it runs, so a client must not be shared.
        return client.CoreV1Api(api_client(self._kubeconfig))

    def _zone(self, node: str | None) -> str | None:
        if self._zones is None:
            nodes = self._api().list_node(_request_timeout=TIMEOUT_SECONDS).items
            self._zones = {node.metadata.name: node.metadata.labels.get(_ZONE_LABEL) for node in nodes}
        return self._zones.get(node or "")

    def list_pods(self, name: str) -> Sequence[Pod]:
        """See `component_health.PodClient.list_pods`."""
        selector = f"{NAME_LABEL}={name}"
        try:
            pods = self._api().list_namespaced_pod(
                self.namespace, label_selector=selector, _request_timeout=TIMEOUT_SECONDS
            )
            return [self._pod(pod) for pod in sorted(pods.items, key=lambda pod: str(pod.metadata.name))]
        except (ApiException, HTTPError) as error:
            raise PodUnreachableError(f"the cluster is unreachable: {_short_error(error)}") from error

    def _pod(self, pod: Any) -> Pod:  # noqa: ANN401 - the client has no types
        conditions = {condition.type: condition for condition in pod.status.conditions or []}
        condition = conditions.get("Ready")
        ready = condition is not None and condition.status == "True"
        reason = "" if ready else (getattr(condition, "reason", None) or pod.status.phase)
        return Pod(name=pod.metadata.name, zone=self._zone(pod.spec.node_name), ready=ready, reason=reason)

    def run(self, pod: str, container: str, argv: Sequence[str]) -> str:
        """See `component_health.PodClient.run`."""
        try:
            session = stream.stream(
                self._api().connect_get_namespaced_pod_exec,
                pod,
                self.namespace,
                container=container,
                command=list(argv),
                stdout=True,
                stderr=True,
                stdin=False,
                tty=False,
                _preload_content=False,
                _request_timeout=TIMEOUT_SECONDS,
            )
            session.run_forever(timeout=TIMEOUT_SECONDS)
            output: str = session.read_stdout() if session.peek_stdout() else ""
            errors: str = session.read_stderr() if session.peek_stderr() else ""
            code = None if session.is_open() else session.returncode
            session.close()
        except (ApiException, HTTPError, WebSocketException, OSError) as error:
            raise PodUnreachableError(f"{pod} is unreachable: {_short_error(error)}") from error
        if code != 0:
            reason = (
                f"exited with code {code}" if code is not None else f"timed out after {TIMEOUT_SECONDS:g} s"
            )
            raise PodUnreachableError(
                f"{pod}: `{argv[0]}` {reason}: {errors[-_MAX_ERROR_CHARACTERS:].strip()}"
            )
        return output

    def get(self, pod: str, port: int, path: str) -> str:
        """See `component_health.PodClient.get`."""
        proxy = f"/api/v1/namespaces/{self.namespace}/pods/https:{pod}:{port}/proxy{path}"
        api = self._api().api_client
        try:
            response = api.call_api(
                proxy,
                "GET",
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=TIMEOUT_SECONDS,
                _return_http_data_only=True,
            )
        except (ApiException, HTTPError) as error:
            raise PodUnreachableError(f"{pod} is unreachable: {_short_error(error)}") from error
        return bytes(response.data).decode()


def _short_error(error: Exception) -> str:
    if isinstance(error, ApiException) and error.body:
        try:
            return str(json.loads(error.body)["message"])[:_MAX_ERROR_CHARACTERS]
        except (ValueError, KeyError, TypeError):
            return str(error.reason)[:_MAX_ERROR_CHARACTERS]
    return str(error)[:_MAX_ERROR_CHARACTERS]
