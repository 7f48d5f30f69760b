"""Pods asked through the API server: nothing of the data layer needs to be reachable from the outside."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kubernetes import client, stream
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError
from websocket import WebSocketException

from infra.components.report import NoAnswerError, Pod
from infra.kubernetes import connect
from infra.names import NAME_LABEL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TIMEOUT = 3.0
"""Seconds for each question: a status that hangs tells less than one that says who did not answer."""
_ZONE = "topology.kubernetes.io/zone"
_SHOWN = 200
"""Characters of an error that are shown."""


class KubernetesPods:
    """The pods of one namespace. May be used by several threads: each call has a connection of its own."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self.namespace = namespace
        self._kubeconfig = kubeconfig
        self._zones: dict[str, str] | None = None

    def _api(self) -> client.CoreV1Api:
        # `stream` replaces a method of its client while it runs, so that a shared one breaks others.
        return client.CoreV1Api(connect(self._kubeconfig))

    def _zone(self, node: str | None) -> str | None:
        if self._zones is None:
            nodes = self._api().list_node(_request_timeout=TIMEOUT).items
            self._zones = {each.metadata.name: each.metadata.labels.get(_ZONE) for each in nodes}
        return self._zones.get(node or "")

    def of(self, name: str) -> Sequence[Pod]:
        """Return the pods of the workload `name`, by name."""
        selector = f"{NAME_LABEL}={name}"
        try:
            found = self._api().list_namespaced_pod(
                self.namespace, label_selector=selector, _request_timeout=TIMEOUT
            )
            return [self._pod(each) for each in sorted(found.items, key=lambda pod: str(pod.metadata.name))]
        except (ApiException, HTTPError) as error:
            raise NoAnswerError(f"the cluster does not answer: {_short(error)}") from error

    def _pod(self, found: Any) -> Pod:  # noqa: ANN401 - the client has no types
        conditions = {each.type: each for each in found.status.conditions or []}
        ready = conditions.get("Ready")
        good = ready is not None and ready.status == "True"
        reason = "" if good else (getattr(ready, "reason", None) or found.status.phase)
        return Pod(name=found.metadata.name, zone=self._zone(found.spec.node_name), ready=good, reason=reason)

    def run(self, pod: str, container: str, argv: Sequence[str]) -> str:
        """Run `argv` in a container and return its standard output."""
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
                _request_timeout=TIMEOUT,
            )
            session.run_forever(timeout=TIMEOUT)
            output: str = session.read_stdout() if session.peek_stdout() else ""
            errors: str = session.read_stderr() if session.peek_stderr() else ""
            code = None if session.is_open() else session.returncode
            session.close()
        except (ApiException, HTTPError, WebSocketException, OSError) as error:
            raise NoAnswerError(f"{pod} does not answer: {_short(error)}") from error
        if code != 0:
            reason = f"ended with {code}" if code is not None else f"took longer than {TIMEOUT:g} s"
            raise NoAnswerError(f"{pod}: `{argv[0]}` {reason}: {errors[-_SHOWN:].strip()}")
        return output

    def get(self, pod: str, port: int, path: str) -> str:
        """Return what the pod answers to `GET https://POD:port/path`."""
        proxy = f"/api/v1/namespaces/{self.namespace}/pods/https:{pod}:{port}/proxy{path}"
        api = self._api().api_client
        try:
            answer = api.call_api(
                proxy,
                "GET",
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=TIMEOUT,
                _return_http_data_only=True,
            )
        except (ApiException, HTTPError) as error:
            raise NoAnswerError(f"{pod} does not answer: {_short(error)}") from error
        return bytes(answer.data).decode()


def _short(error: Exception) -> str:
    if isinstance(error, ApiException) and error.body:
        try:
            return str(json.loads(error.body)["message"])[:_SHOWN]
        except (ValueError, KeyError, TypeError):
            return str(error.reason)[:_SHOWN]
    return str(error)[:_SHOWN]
