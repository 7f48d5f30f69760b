"""The composition root of checks: a `CheckContext` of a deployed environment.

Everything is read through the API server of its cluster and from files of this machine; the observability
layer adds to it where it is deployed. All readings run at the same time, once, and fail alone.
"""

from __future__ import annotations

import datetime as dt
import time
from collections import defaultdict
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from kubernetes.client.exceptions import ApiException

from cli.actions import cluster_readings, endpoint_checks
from cli.actions.observability_status import blindness
from cli.actions.open_faults import journal_status, open_journal
from cli.actions.restore_operations import read_request
from cli.actions.slo import evaluate_slos, measurement_store
from cli.environment_lease import COMMAND_ANNOTATION, INCOMPLETE_ANNOTATION, NAMESPACE, lease_name
from cli.lock_holder import LockHolder
from cli.observability_client import ObservabilityClient
from cli.parallel_reads import ParallelReads
from infra.components.backup import status as backup_status
from infra.components.component_health import PodUnreachableError
from infra.components.kafka import status as kafka_status
from infra.components.object_store import status as object_store_status
from infra.components.pod_client import KubernetesPodClient
from infra.components.postgres import status as postgres_status
from infra.components.redis import status as redis_status
from infra.daemon_calls import call_all
from infra.environment_health import BackupHealth
from infra.errors import EsqError
from infra.kubernetes import api_client, get_json, get_text, to_esq_error
from infra.names import (
    DATA_NAMESPACE,
    OBSERVABILITY_NAMESPACE,
    PART_OF_LABEL,
    PRODUCT,
    SERVICES_NAMESPACE,
    service_dns,
)
from infra.scrub_record import read_scrub
from runbooks.check import UnavailableError
from runbooks.readings import ActiveAlert, Deploy, FaultState, LogLine, Sample, SloState
from services.contracts.endpoints import HTTP_PORT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future

    from cli.actions.deployment_target import DeploymentTarget
    from infra.components.component_health import ComponentHealth
    from infra.environment_health import EndpointCheck, NodeHealth, ServiceHealth
    from runbooks.readings import NodeUsage, PodState

T = TypeVar("T")
DEADLINE_SECONDS = 5.0
"""A person waits for a diagnosis this long, even if half of the cluster hangs."""
REQUEST_TIMEOUT_SECONDS = 2.0
"""Three pods that hang are asked one second after the other: the third answer comes before the deadline."""
ROUND_TRIPS = 6
LOG_LINES = 30
MAX_LOGS = 6
"""Pods whose logs are read: those of one service fail for the same reason."""
_COLLECTORS = {
    "postgres": postgres_status.collect,
    "redis": redis_status.collect,
    "kafka": kafka_status.collect,
    "object-store": object_store_status.collect,
}
_RESOLVE = """
import os, socket, sys, threading

def resolve():
    try:
        socket.getaddrinfo(sys.argv[1], 443)
        end("")
    except OSError as error:
        end(f"{error}")

def end(problem):
    print(problem, flush=True)
    os._exit(0)

threading.Thread(target=resolve, daemon=True).start()
threading.Event().wait(1)
end("no answer within 1 s")
"""
"""Prints why a name is not resolved. It measures the time itself: on a busy host, Python starts slowly."""
_PODS_PATH = f"/api/v1/pods?labelSelector={quote(f'{PART_OF_LABEL}={PRODUCT}')}"


class EnvironmentContext:
    """A `CheckContext` of a deployed environment at one moment.

    Args:
        target: its deployment target.
        deadline_seconds: time after which a reading is unavailable, from now.
        request_timeout_seconds: timeout of each request.
        retry_seconds: time after which no further attempt of a question to the API server itself starts.
    """

    def __init__(
        self,
        target: DeploymentTarget,
        *,
        deadline_seconds: float = DEADLINE_SECONDS,
        request_timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
        retry_seconds: float = 0.0,
    ) -> None:
        self.environment = target.environment.name
        self.is_embedded = target.cluster is not None
        self.now = dt.datetime.now(dt.UTC)
        self._target = target
        self._reads = ParallelReads(deadline_seconds)
        self._timeout = request_timeout_seconds
        access = {"timeout_seconds": self._timeout, "retry_seconds": retry_seconds}
        self._api = api_client(target.kubeconfig, **access)
        self._data = KubernetesPodClient(target.kubeconfig, DATA_NAMESPACE, **access)
        self._services = KubernetesPodClient(target.kubeconfig, SERVICES_NAMESPACE, **access)
        self._layer = ObservabilityClient(target.kubeconfig, **access)

    def _get_json(self, path: str) -> dict[str, Any]:
        try:
            return get_json(self._api, path)
        except ApiException as error:
            raise to_esq_error(error) from error

    def _list(self, path: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self._get_json(path)["items"]
        return items

    def control_plane(self) -> Mapping[str, str]:
        """See `CheckContext`. An API server that does not answer in time is what this tells."""
        try:
            return self._reads.get("control plane", self._read_control_plane)
        except UnavailableError as error:
            return {"apiserver": error.message}

    def _read_control_plane(self) -> Mapping[str, str]:
        try:
            get_text(self._api, "/readyz")
        except ApiException as error:
            return {"apiserver": f"answers {error.status}"}
        except EsqError as error:
            return {"apiserver": error.detail or error.message}
        leases = {item["metadata"]["name"]: item for item in self._system_leases()}
        now = dt.datetime.now(dt.UTC)
        return {"apiserver": "", **cluster_readings.lease_problems(leases, now)}

    def _system_leases(self) -> list[dict[str, Any]]:
        """Return the Leases of the control plane; none where they may not be read."""
        with suppress(EsqError):
            return self._list(f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases")
        return []

    def nodes(self) -> Sequence[NodeHealth]:
        """See `CheckContext`."""
        return self._reads.get("nodes", lambda: cluster_readings.parse_nodes(self._list("/api/v1/nodes")))

    def _zones(self) -> dict[str, str]:
        """Return the zone of each node by name."""
        return {node.name: node.zone for node in self.nodes()}

    def _pod_items(self) -> list[dict[str, Any]]:
        return self._reads.get("pods", lambda: self._list(_PODS_PATH))

    def pods(self) -> Sequence[PodState]:
        """See `CheckContext`."""
        self._reads.prefetch("pods", lambda: self._list(_PODS_PATH))
        zones = self._zones()
        return cluster_readings.parse_pods(self._pod_items(), zones)

    def component(self, name: str) -> ComponentHealth:
        """See `CheckContext`."""
        return self._reads.get(name, lambda: _COLLECTORS[name](self._data))

    def services(self) -> Sequence[ServiceHealth]:
        """See `CheckContext`."""
        return cluster_readings.count_services(self.pods(), self._target.environment.definition)

    def endpoints(self) -> Sequence[EndpointCheck]:
        """See `CheckContext`."""
        return self._reads.get("edge", lambda: endpoint_checks.check(self._target, self._timeout))

    def backups(self) -> BackupHealth:
        """See `CheckContext`."""
        return self._reads.get("backups", self._read_backups)

    def _read_backups(self) -> BackupHealth:
        self.pods()  # a cluster that does not answer says nothing about the backups
        try:
            report = backup_status.read_report(self._data)
        except PodUnreachableError as error:
            return BackupHealth("verifier unreachable", (error.message,))
        problems = tuple(backup_status.problems(report, self.now))
        return BackupHealth(backup_status.summary(report, self.now), problems, report)

    def unfinished_restore(self) -> str:
        """See `CheckContext`."""
        return self._reads.get("restore", self._read_restore)

    def _read_restore(self) -> str:
        request = read_request(self._api)
        return request.command(self.environment) if request else ""

    def usage(self) -> Sequence[NodeUsage]:
        """See `CheckContext`."""
        return self._reads.get("usage", self._read_usage)

    def _read_usage(self) -> Sequence[NodeUsage]:
        paths = {node: f"/api/v1/nodes/{node}/proxy/stats/summary" for node in self._zones()}
        summaries = _answers(
            {node: partial(self._get_json, path) for node, path in paths.items()}, self._timeout
        )
        limits = cluster_readings.memory_limits(self._pod_items())
        usage = [
            cluster_readings.parse_usage(summary, self._zones()[node], limits)
            for node, summary in summaries.items()
            if summary is not None
        ]
        if not usage:
            raise UnavailableError("no kubelet tells the use of resources", location="stats/summary")
        return usage

    def name_resolution(self) -> Mapping[str, str]:
        """See `CheckContext`."""
        return self._reads.get("name resolution", self._read_name_resolution)

    def _read_name_resolution(self) -> Mapping[str, str]:
        ready = [pod for pod in self.pods() if pod.namespace == SERVICES_NAMESPACE and pod.ready]
        by_zone = {pod.zone: pod.name for pod in ready}
        if not by_zone:
            raise UnavailableError("no pod of a service is ready to ask", location=SERVICES_NAMESPACE)
        results = _answers(
            {zone: partial(self._resolve, pod) for zone, pod in by_zone.items()}, 2 * self._timeout
        )
        known = {zone: problem for zone, problem in results.items() if problem is not None}
        if len(known) < len(results) and not any(known.values()):
            silent = ", ".join(sorted(results.keys() - known.keys()))
            message = f"no pod of {silent} could be asked to resolve a name"
            raise UnavailableError(message, location=SERVICES_NAMESPACE)
        return known

    def _resolve(self, pod: str) -> str:
        """Return why a pod does not resolve the name of a service; empty if it does."""
        name = service_dns("contacts-api", SERVICES_NAMESPACE)
        return self._services.run(pod, "main", ("python3", "-c", _RESOLVE, name)).strip()

    def round_trips(self) -> Mapping[str, Sequence[float | None]]:
        """See `CheckContext`."""
        return self._reads.get("round trips", self._read_round_trips)

    def _read_round_trips(self) -> Mapping[str, Sequence[float | None]]:
        nodes = {node.name: node.zone for node in self.nodes() if node.ready}
        times = _answers({node: partial(self._measure, node) for node in nodes}, 2 * self._timeout)
        return {nodes[node]: measured or (None,) * ROUND_TRIPS for node, measured in times.items()}

    def _measure(self, node: str) -> Sequence[float | None]:
        """Return the seconds that requests to a kubelet take; rejections need the same time as answers."""
        times: list[float | None] = []
        for _ in range(ROUND_TRIPS):
            started_at = time.monotonic()
            try:
                get_text(self._api, f"/api/v1/nodes/{node}/proxy/healthz")
                times.append(time.monotonic() - started_at)
            except ApiException as error:
                is_answer = error.status in {401, 403, 404}
                times.append(time.monotonic() - started_at if is_answer else None)
            except EsqError:
                times.append(None)
        return times

    def error_lines(self) -> Sequence[LogLine]:
        """See `CheckContext`."""
        return self._reads.get("logs of pods", self._read_error_lines)

    def _read_error_lines(self) -> Sequence[LogLine]:
        failing = [pod for pod in self.pods() if not pod.ready and pod.zone][:MAX_LOGS]
        logs = _answers({pod.name: partial(self._read_log, pod) for pod in failing}, self._timeout)
        return [line for lines in logs.values() for line in lines or ()]

    def _read_log(self, pod: PodState) -> list[LogLine]:
        query = f"tailLines={LOG_LINES}&timestamps=true"
        path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}/log?{query}"
        try:
            return cluster_readings.parse_log(get_text(self._api, path), pod.name)
        except ApiException as error:  # a pod that has not started, or one with several containers
            raise to_esq_error(error) from error

    def samples(self, metric: str) -> Sequence[Sample]:
        """See `CheckContext`."""
        samples, silent = self._reads.get("metrics of pods", self._read_samples)
        if metric not in samples and silent:
            raise UnavailableError(f"{', '.join(silent)}: no answer about metrics", location=metric)
        return samples.get(metric, ())

    def _read_samples(self) -> tuple[Mapping[str, Sequence[Sample]], Sequence[str]]:
        """Return the samples by metric, and the workloads of which a ready pod does not answer."""
        pods = [pod for pod in self.pods() if pod.namespace == SERVICES_NAMESPACE and pod.zone]
        texts = _answers(
            {pod.name: partial(self._services.get, pod.name, HTTP_PORT, "/metrics") for pod in pods},
            2 * self._timeout,
        )
        zones = {pod.name: pod.zone for pod in pods}
        samples: defaultdict[str, list[Sample]] = defaultdict(list)
        for pod, text in texts.items():
            for name, values in cluster_readings.parse_samples(text or "", pod, zones[pod]).items():
                samples[name] += values
        if not samples:
            raise UnavailableError("no process tells its metrics", location=SERVICES_NAMESPACE)
        silent = {pod.workload for pod in pods if pod.ready and texts[pod.name] is None}
        return samples, sorted(silent)

    def metric(self, query: str) -> Sequence[Sample]:
        """See `CheckContext`."""
        return self._reads.get(f"metric {query}", lambda: self._query(query))

    def _query(self, query: str) -> Sequence[Sample]:
        return [Sample(sample.labels, sample.value) for sample in self._layer.metrics_query(query)]

    def logs(self, query: str, limit: int) -> Sequence[LogLine]:
        """See `CheckContext`."""
        return self._reads.get(f"logs {query} {limit}", lambda: self._read_logs(query, limit))

    def _read_logs(self, query: str, limit: int) -> Sequence[LogLine]:
        return [
            LogLine(dt.datetime.fromisoformat(entry["_time"]), entry.get("pod", ""), entry["_msg"])
            for entry in self._layer.logs_query(query, limit)
        ]

    def alerts(self) -> Sequence[ActiveAlert]:
        """See `CheckContext`."""
        return self._reads.get("alerts", self._read_alerts)

    def _read_alerts(self) -> Sequence[ActiveAlert]:
        firing = self._layer.alerts()
        if not firing and (reason := blindness(self._layer)):
            raise UnavailableError(reason, location=OBSERVABILITY_NAMESPACE, remedy="See `esq status ENV`.")
        return [ActiveAlert(alert.name, alert.started_at, alert.labels) for alert in firing]

    def faults(self) -> Sequence[FaultState]:
        """See `CheckContext`."""
        return self._reads.get("faults", self._read_faults)

    def _read_faults(self) -> Sequence[FaultState]:
        journal = journal_status(open_journal(self._target.environment))
        if journal.problems:
            raise UnavailableError(journal.problems[0].message, location=journal.problems[0].location)
        return [
            FaultState(
                id=status.entry.id,
                description=str(status.entry.fault),
                experiment=status.entry.experiment,
                opened_at=dt.datetime.fromtimestamp(status.entry.opened_at, dt.UTC),
                is_left=status.is_left,
            )
            for status in journal.faults
        ]

    def deploys(self) -> Sequence[Deploy]:
        """See `CheckContext`."""
        return self._reads.get("deploys", self._read_deploys)

    def _read_deploys(self) -> Sequence[Deploy]:
        path = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
        leases = {item["metadata"]["name"]: item for item in self._list(path)}
        lease = leases.get(lease_name(self.environment))
        return [deploy] if lease and (deploy := parse_lease(lease, self.now)) else []

    def damage(self) -> Sequence[str]:
        """See `CheckContext`."""
        return self._reads.get("damage", self._read_damage)

    def _read_damage(self) -> Sequence[str]:
        record = read_scrub(self._api)
        return record.damage if record else ()

    def slos(self) -> Sequence[SloState]:
        """See `CheckContext`."""
        return self._reads.get("SLOs", self._read_slos)

    def _read_slos(self) -> Sequence[SloState]:
        reports = evaluate_slos(measurement_store(self._target.environment))
        return [
            SloState(
                report.slo.id, report.status, f"median {report.distribution.median.value} {report.slo.unit}"
            )
            for report in reports
        ]


def parse_lease(lease: Mapping[str, Any], now: dt.datetime) -> Deploy | None:
    """Return the command that a Lease of the environment tells of; None if nothing is open.

    Args:
        lease: the Lease, as JSON.
        now: current time (UTC).
    """
    annotations, spec = lease["metadata"].get("annotations") or {}, lease.get("spec") or {}
    command = annotations.get(COMMAND_ANNOTATION, "")
    identity = spec.get("holderIdentity") or ""
    if not identity:
        return Deploy(command, "incomplete") if INCOMPLETE_ANNOTATION in annotations else None
    holder = LockHolder.parse(identity)
    age = (now - dt.datetime.fromisoformat(spec["renewTime"])).total_seconds()
    is_left = age > spec["leaseDurationSeconds"] or (holder is not None and holder.is_gone)
    acquired = spec.get("acquireTime")
    return Deploy(
        command,
        "left" if is_left else "running",
        str(holder or identity),
        dt.datetime.fromisoformat(acquired) if acquired else None,
    )


def _answers(functions: Mapping[str, Callable[[], T]], timeout_seconds: float) -> dict[str, T | None]:
    """Call functions at the same time; return their results by name, None for what failed or hangs.

    Args:
        functions: the functions by name.
        timeout_seconds: time after which none is waited for.
    """
    calls = call_all(functions, timeout_seconds)
    return {name: _answer(call) for name, call in calls.items()}


def _answer(call: Future[T]) -> T | None:
    if not call.done():
        return None
    try:
        return call.result()
    except EsqError:
        return None
