"""Diagnosis of a Kubernetes object that is not ready: state and last log lines of its pods, warnings."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from kubernetes.client.exceptions import ApiException

from infra.errors import EsqError
from infra.kubernetes import API_ERRORS, api_client, get_json, get_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from kubernetes.client import ApiClient

Manifest = dict[str, Any]

LOG_LINES = 10
"""Log lines of each container that is not ready."""
MAX_ENTRIES = 12
"""Entries for one object."""
_TIMEOUT_SECONDS = 5.0
_NORMAL_WAITS = (None, "ContainerCreating", "PodInitializing")


@dataclass(frozen=True)
class ObjectReference:
    """Address of a Kubernetes object.

    Attributes:
        api_version: API version, e.g. `apps/v1`.
        kind: kind of the object, e.g. `StatefulSet`.
        namespace: namespace of the object.
        name: name of the object.
    """

    api_version: str
    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> ObjectReference | None:
        """Return the reference to the object of a manifest; None unless it is a namespaced object."""
        metadata = manifest.get("metadata")
        if not isinstance(metadata, dict):
            return None
        fields = (
            *(manifest.get("apiVersion"), manifest.get("kind")),
            *(metadata.get("namespace"), metadata.get("name")),
        )
        return cls(*map(str, fields)) if all(fields) else None

    @property
    def path(self) -> str:
        """Path on the API server. Kinds that create pods form their plural with an `s`."""
        root = "/apis/" if "/" in self.api_version else "/api/"
        return f"{root}{self.api_version}/namespaces/{self.namespace}/{self.kind.lower()}s/{self.name}"


def diagnose(kubeconfig: Path, reference: ObjectReference) -> list[str]:
    """Return the known problems of an object, most important first.

    Args:
        kubeconfig: kubeconfig of the cluster.
        reference: the object.
    """
    try:
        client = api_client(kubeconfig, timeout_seconds=_TIMEOUT_SECONDS, retry_seconds=0)
    except EsqError:
        return []
    with closing(client) as api:
        pods = _readable(partial(_pods, api, reference))
        problems = [problem for pod in pods for problem in pod_problems(pod)]
        logs = [entry for pod in pods for entry in _last_log_lines(api, pod)] if problems else []
        names = {reference.name, *(pod["metadata"]["name"] for pod in pods)}
        warnings = _readable(partial(_warnings, api, reference.namespace, names))
        return [*problems, *logs, *warnings][:MAX_ENTRIES]


def _readable(read: Callable[[], list[Any]]) -> list[Any]:
    """Return the items that `read` returns; none when it fails.

    The diagnosis accompanies the actual error and is optional: reading a part of it may be forbidden.
    """
    try:
        return read()
    except API_ERRORS:
        return []


def pod_problems(pod: Manifest) -> list[str]:
    """Return the problems of a pod, one line each: not scheduled, images, crashes, not ready."""
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    conditions = {condition["type"]: condition for condition in status.get("conditions") or []}
    scheduled = conditions.get("PodScheduled", {})
    problems = [f"[Pod {name}]: {scheduled.get('message')}"] if scheduled.get("status") == "False" else []
    for container in _containers(pod):
        source, state = f"[Pod {name}/{container['name']}]", container.get("state") or {}
        waiting = state.get("waiting") or {}
        ended = (container.get("lastState") or {}).get("terminated") or state.get("terminated") or {}
        if waiting.get("reason") not in _NORMAL_WAITS:
            problems.append(f"{source}: {waiting['reason']}: {waiting.get('message', '')}".strip())
        if ended.get("exitCode"):
            reason = ended.get("message", ended.get("reason", ""))
            problems.append(f"{source}: exited with {ended['exitCode']}: {reason}")
        elif not container.get("ready") and "running" in state:
            problems.append(f"{source}: is running and not ready")
    return problems


def _containers(pod: Manifest) -> list[Manifest]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _pods(api: ApiClient, reference: ObjectReference) -> list[Manifest]:
    try:
        owner = get_json(api, reference.path)
    except ApiException:
        # The object was rejected, or its kind has another plural and creates no pods.
        return []
    if reference.kind == "Pod":
        return [owner]
    spec = owner.get("spec") or {}
    labels = (spec.get("selector") or {}).get("matchLabels") or {}
    if not labels or "template" not in spec:
        return []
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    query = urlencode({"labelSelector": selector})
    return list(get_json(api, f"/api/v1/namespaces/{reference.namespace}/pods?{query}")["items"])


def _last_log_lines(api: ApiClient, pod: Manifest) -> list[str]:
    metadata, entries = pod["metadata"], []
    for container in _containers(pod):
        state = container.get("state") or {}
        if container.get("ready") or (state.get("terminated") or {}).get("exitCode") == 0:
            continue
        previous = "running" not in state and bool(container.get("restartCount"))
        query = urlencode(
            {"container": container["name"], "tailLines": LOG_LINES, "previous": str(previous).lower()}
        )
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{quote(metadata['name'])}/log?{query}"
        text = _text(api, path)
        if text:
            entries.append(f"[Pod {metadata['name']}/{container['name']}] last log lines:\n{text}")
    return entries


def _text(api: ApiClient, path: str) -> str:
    try:
        return get_text(api, path).strip()
    except API_ERRORS:
        # E.g. a container that never started has no log.
        return ""


def _warnings(api: ApiClient, namespace: str, names: set[str]) -> list[str]:
    query = urlencode({"fieldSelector": "type=Warning"})
    events = get_json(api, f"/api/v1/namespaces/{namespace}/events?{query}")["items"]
    relevant = [event for event in events if event["involvedObject"].get("name") in names]
    return list(dict.fromkeys(f"{event.get('reason')}: {event.get('message')}" for event in relevant))
