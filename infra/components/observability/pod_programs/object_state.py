"""Exports the state of Kubernetes objects as metrics: workloads, pods, nodes, Jobs, faults, disks of nodes.

It is what alerts need of kube-state-metrics, with names of its own where a series is a summary. Mounted into
a pod as a file: it imports the standard library and `https_server` only. It reads the API server and the
kubelets for a scrape, so that nothing is older than `MAX_AGE_SECONDS`; without the API server it answers 503.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import ssl
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from infra.components.observability.pod_programs import https_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Sample = tuple[str, dict[str, str], float]
    Read = Callable[[str], dict[str, Any]]

REQUEST_TIMEOUT_SECONDS = 2.0
MAX_AGE_SECONDS = 4.0
"""Less than the interval of the scrapes."""
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
ZONE_LABEL, NAME_LABEL = "topology.kubernetes.io/zone", "app.kubernetes.io/name"
PART_OF = quote("app.kubernetes.io/part-of=esq")
FAULT_LABEL = "esq/fault"
KUBELET_PORT = 10250
PATHS = {
    "nodes": "/api/v1/nodes",
    "pods": f"/api/v1/pods?labelSelector={PART_OF}",
    "faults": f"/api/v1/pods?labelSelector={quote(FAULT_LABEL)}",
    "Deployment": f"/apis/apps/v1/deployments?labelSelector={PART_OF}",
    "StatefulSet": f"/apis/apps/v1/statefulsets?labelSelector={PART_OF}",
    "DaemonSet": f"/apis/apps/v1/daemonsets?labelSelector={PART_OF}",
    "jobs": f"/apis/batch/v1/jobs?labelSelector={PART_OF}",
    "cronjobs": f"/apis/batch/v1/cronjobs?labelSelector={PART_OF}",
}
"""Path of each list on the API server."""


def read_lists(read: Read) -> dict[str, list[dict[str, Any]]]:
    """Return all lists, and the statistics of the kubelets that answer.

    Args:
        read: returns the JSON at a path of the API server, or at a URL of a kubelet.

    Raises:
        OSError: the API server does not answer.
    """
    with ThreadPoolExecutor(4) as pool:
        lists = dict(zip(PATHS, pool.map(lambda path: read(path)["items"], PATHS.values()), strict=True))
        summaries = pool.map(lambda node: _summary(read, node), lists["nodes"])
        lists["summaries"] = [summary for summary in summaries if summary]
    return lists


def _summary(read: Read, node: dict[str, Any]) -> dict[str, Any]:
    addresses = {item["type"]: item["address"] for item in node["status"].get("addresses", [])}
    try:
        return read(f"https://{addresses['InternalIP']}:{KUBELET_PORT}/stats/summary")
    except (OSError, KeyError):
        return {}


def samples(lists: dict[str, list[dict[str, Any]]]) -> Iterator[Sample]:
    """Yield name, labels and value of each sample.

    Args:
        lists: as of `read_lists`.
    """
    zones = {
        node["metadata"]["name"]: node["metadata"].get("labels", {}).get(ZONE_LABEL, "")
        for node in lists["nodes"]
    }
    for node in lists["nodes"]:
        yield from _node(node, zones)
    for summary in lists["summaries"]:
        yield from _disk(summary, zones)
    for kind in ("Deployment", "StatefulSet", "DaemonSet"):
        for workload in lists[kind]:
            yield from _workload(kind, workload)
    for pod in lists["pods"]:
        yield from _pod(pod, zones)
    for job in lists["jobs"]:
        yield "kube_job_failed", _object(job), float(_condition(job, "Failed"))
    for cronjob in lists["cronjobs"]:
        if succeeded := cronjob.get("status", {}).get("lastSuccessfulTime"):
            yield "kube_cronjob_last_success_timestamp_seconds", _object(cronjob), _timestamp(succeeded)
    yield "esq_fault_objects", {}, float(len(lists["faults"]))


def _node(node: dict[str, Any], zones: dict[str, str]) -> Iterator[Sample]:
    name = node["metadata"]["name"]
    yield "kube_node_ready", {"node": name, "zone": zones[name]}, float(_condition(node, "Ready"))


def _disk(summary: dict[str, Any], zones: dict[str, str]) -> Iterator[Sample]:
    name = summary["node"]["nodeName"]
    labels = {"node": name, "zone": zones.get(name, "")}
    disk, memory = summary["node"].get("fs", {}), summary["node"].get("memory", {})
    if "availableBytes" in disk:
        yield "node_filesystem_avail_bytes", labels, float(disk["availableBytes"])
        # Without what the file system reserves, as `df` computes the used share.
        yield "node_filesystem_size_bytes", labels, float(disk["usedBytes"] + disk["availableBytes"])
    if "availableBytes" in memory:
        yield "node_memory_available_bytes", labels, float(memory["availableBytes"])
    for pod in summary.get("pods", []):
        for volume in pod.get("volume", []):
            if "pvcRef" in volume and "usedBytes" in volume:
                claim = {**labels, "persistentvolumeclaim": volume["pvcRef"]["name"]}
                yield "kubelet_volume_stats_used_bytes", claim, float(volume["usedBytes"])
                yield "kubelet_volume_stats_capacity_bytes", claim, float(volume["capacityBytes"])


def _workload(kind: str, workload: dict[str, Any]) -> Iterator[Sample]:
    status = workload.get("status", {})
    labels = {
        "namespace": workload["metadata"]["namespace"],
        "service": workload["metadata"]["name"],
        "kind": kind,
    }
    if kind == "DaemonSet":
        desired, ready = status.get("desiredNumberScheduled", 0), status.get("numberReady", 0)
    else:
        desired, ready = workload["spec"].get("replicas", 1), status.get("readyReplicas", 0)
    yield "kube_workload_replicas", labels, float(desired)
    yield "kube_workload_ready_replicas", labels, float(ready)


def _pod(pod: dict[str, Any], zones: dict[str, str]) -> Iterator[Sample]:
    if pod["status"].get("phase") in {"Succeeded", "Failed"}:
        return
    labels = {**_object(pod), "zone": zones.get(pod["spec"].get("nodeName", ""), "")}
    labels["pod"] = labels.pop("name")
    labels["service"] = pod["metadata"].get("labels", {}).get(NAME_LABEL, "")
    yield "kube_pod_ready", labels, float(_condition(pod, "Ready"))
    containers = pod["status"].get("containerStatuses", [])
    yield "kube_pod_restarts_total", labels, float(sum(item["restartCount"] for item in containers))
    for item in containers:
        if reason := item["state"].get("waiting", {}).get("reason"):
            yield "kube_pod_waiting", {**labels, "container": item["name"], "reason": reason}, 1.0


def _object(item: dict[str, Any]) -> dict[str, str]:
    return {"namespace": item["metadata"]["namespace"], "name": item["metadata"]["name"]}


def _condition(item: dict[str, Any], kind: str) -> bool:
    conditions = item.get("status", {}).get("conditions") or []
    return any(condition["type"] == kind and condition["status"] == "True" for condition in conditions)


def _timestamp(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()


def render(values: Iterable[Sample]) -> str:
    """Return samples in the text format of Prometheus.

    Args:
        values: name, labels and value of each.
    """
    lines = []
    for name, labels, value in values:
        # JSON escapes backslashes, quotes and line ends as this format does.
        text = ",".join(f"{key}={json.dumps(label)}" for key, label in sorted(labels.items()) if label)
        lines.append(f"{name}{{{text}}} {value:.0f}")
    return "\n".join(lines) + "\n"


def cluster_reader() -> Read:
    """Return a function that reads the API server and the kubelets with the token of this pod."""
    context = ssl.create_default_context(cafile=str(SERVICE_ACCOUNT / "ca.crt"))
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]

    def read(path: str) -> dict[str, Any]:
        url = path if path.startswith("https://") else f"https://{host}:{port}{path}"
        # The kubelet replaces the token once an hour.
        headers = {"Authorization": f"Bearer {(SERVICE_ACCOUNT / 'token').read_text()}"}
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - always https
        with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_SECONDS, context=context) as response:  # noqa: S310 - same
            return dict(json.load(response))

    return read


class SharedReading:
    """One reading for all scrapes within `MAX_AGE_SECONDS`: each replica of VictoriaMetrics scrapes.

    Args:
        read: see `read_lists`.
        clock: monotonic time in seconds.
    """

    def __init__(self, read: Read, clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._text, self._read_at = "", -MAX_AGE_SECONDS

    def metrics(self) -> str:
        """Return the metrics.

        Raises:
            OSError: the API server does not answer.
        """
        with self._lock:
            if self._clock() - self._read_at >= MAX_AGE_SECONDS:
                started_at = self._clock()
                self._text = render(samples(read_lists(self._read)))
                self._read_at = started_at
            return self._text


class Handler(https_server.Handler):
    """Handler of requests.

    Attributes:
        reading: see `SharedReading`.
    """

    reading: SharedReading

    def metrics(self) -> str:
        """See `https_server.Handler`."""
        return self.reading.metrics()


if __name__ == "__main__":
    Handler.reading = SharedReading(cluster_reader())
    https_server.serve(Handler)
