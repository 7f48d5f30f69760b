"""Pod client that uses the API server, so that the data layer needs no access from outside the cluster."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kubernetes import client
from websocket import WebSocketException, WebSocketTimeoutException

from infra.components.component_health import Pod, PodUnreachableError
from infra.errors import UnreachableError
from infra.kubernetes import API_ERRORS, api_client, get_text
from infra.names import DIGEST_ANNOTATION, NAME_LABEL
from infra.pod_exec import run_in_container

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TIMEOUT_SECONDS = 3.0
"""Timeout of each query: a status that names unreachable pods is better than one that hangs."""
LIST_RETRY_SECONDS = 5.0
"""Retries of the questions to the API server itself; a pod is asked once."""
_ZONE_LABEL = "topology.kubernetes.io/zone"
_MAX_ERROR_CHARACTERS = 200


class KubernetesPodClient:
    """The pods of a namespace. Thread-safe.

    Args:
        kubeconfig: path of the kubeconfig.
        namespace: name of the namespace.
        timeout_seconds: timeout of each query.
        retry_seconds: time after which no further attempt of a question to the API server itself starts.
    """

    def __init__(
        self,
        kubeconfig: Path,
        namespace: str,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        retry_seconds: float = LIST_RETRY_SECONDS,
    ) -> None:
        self.namespace = namespace
        self._timeout_seconds = timeout_seconds
        self._retry_seconds = retry_seconds
        self._kubeconfig = kubeconfig
        self._zones: dict[str, str] | None = None

    @cached_property
    def _core(self) -> client.CoreV1Api:
        return client.CoreV1Api(self._client(self._retry_seconds))

    @cached_property
    def _pods(self) -> client.ApiClient:
        return self._client(0)

    def _client(self, retry_seconds: float) -> client.ApiClient:
        return api_client(
            self._kubeconfig, timeout_seconds=self._timeout_seconds, retry_seconds=retry_seconds
        )

    def _zone(self, node: str | None) -> str | None:
        if self._zones is None:
            nodes = self._core.list_node().items
            self._zones = {node.metadata.name: node.metadata.labels.get(_ZONE_LABEL) for node in nodes}
        return self._zones.get(node or "")

    def list_pods(self, name: str) -> Sequence[Pod]:
        """See `component_health.PodClient.list_pods`."""
        return self.select(f"{NAME_LABEL}={name}")

    def select(self, labels: str) -> Sequence[Pod]:
        """Return the pods with these labels, sorted by name.

        Args:
            labels: selector, e.g. `app.kubernetes.io/part-of=esq`.

        Raises:
            PodUnreachableError: the cluster is unreachable.
        """
        try:
            pods = self._core.list_namespaced_pod(self.namespace, label_selector=labels)
            return [self._pod(pod) for pod in sorted(pods.items, key=lambda pod: str(pod.metadata.name))]
        except API_ERRORS as error:
            raise PodUnreachableError(f"the cluster is unreachable: {_short_error(error)}") from error

    def _pod(self, pod: Any) -> Pod:  # noqa: ANN401 - the client has no types
        conditions = {condition.type: condition for condition in pod.status.conditions or []}
        condition = conditions.get("Ready")
        ready = condition is not None and condition.status == "True"
        reason = "" if ready else (getattr(condition, "reason", None) or pod.status.phase)
        return Pod(name=pod.metadata.name, zone=self._zone(pod.spec.node_name), ready=ready, reason=reason)

    def configuration_digest(self, secret: str) -> str:
        """See `component_health.PodClient.configuration_digest`."""
        try:
            metadata = self._core.read_namespaced_secret(secret, self.namespace).metadata
        except API_ERRORS as error:
            raise PodUnreachableError(f"Secret {secret}: {_short_error(error)}") from error
        return str((metadata.annotations or {}).get(DIGEST_ANNOTATION, ""))

    def run(self, pod: str, container: str, argv: Sequence[str]) -> str:
        """See `component_health.PodClient.run`."""
        address = (self.namespace, pod, container)
        try:
            execution = run_in_container(self._pods, address, argv, self._timeout_seconds)
        except WebSocketTimeoutException as error:
            raise PodUnreachableError(
                f"{pod}: `{argv[0]}` timed out after {self._timeout_seconds:g} s"
            ) from error
        except (WebSocketException, OSError) as error:
            raise PodUnreachableError(f"{pod} is unreachable: {_short_error(error)}") from error
        if execution.problem:
            errors = execution.errors[-_MAX_ERROR_CHARACTERS:].strip()
            raise PodUnreachableError(f"{pod}: `{argv[0]}`: {execution.problem}: {errors}")
        return execution.output

    def get(self, pod: str, port: int, path: str) -> str:
        """See `component_health.PodClient.get`."""
        proxy = f"/api/v1/namespaces/{self.namespace}/pods/https:{pod}:{port}/proxy{path}"
        try:
            return get_text(self._pods, proxy)
        except API_ERRORS as error:
            raise PodUnreachableError(f"{pod} is unreachable: {_short_error(error)}") from error


def _short_error(error: Exception) -> str:
    if isinstance(error, UnreachableError):
        return error.detail[:_MAX_ERROR_CHARACTERS]
    body = getattr(error, "body", None) or getattr(error, "resp_body", None) or ""
    try:
        document = json.loads(body)
        # The API server says `message`, a service (RFC 9457) `detail`.
        return str(document.get("message") or document["detail"])[:_MAX_ERROR_CHARACTERS]
    except (ValueError, KeyError, TypeError, AttributeError):
        return str(getattr(error, "reason", None) or error)[:_MAX_ERROR_CHARACTERS]
