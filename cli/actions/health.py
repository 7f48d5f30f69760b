"""Health of an environment: nodes, data layer, backups, services and edge, collected concurrently."""

from __future__ import annotations

import datetime as dt
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
from kubernetes import client

from cli.actions.restore_operations import read_request
from infra import data_layer_health
from infra.components.backup import status as backup_status
from infra.components.component_health import PodUnreachableError
from infra.components.pod_client import LIST_RETRY_SECONDS, KubernetesPodClient
from infra.environment_health import BackupHealth, EndpointCheck, NodeHealth, ServiceHealth
from infra.errors import EsqError, UnreachableError
from infra.kubernetes import API_ERRORS, api_client
from infra.names import DATA_NAMESPACE, SERVICES_NAMESPACE
from infra.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cli.actions.deployment_target import DeploymentTarget
    from cli.environment import Environment
    from infra.components.component_health import ComponentHealth, PodClient
    from infra.environment_definition import EnvironmentDefinition
    from infra.processes import Process
    from infra.progress import ProgressStep

HEALTHY_TIMEOUT_SECONDS = 120.0
"""After a deploy everything must be healthy within this time."""
_POLL_INTERVAL_SECONDS = 1.0
_REQUEST_TIMEOUT_SECONDS = 5.0
_ZONE_LABEL = "topology.kubernetes.io/zone"


@dataclass(frozen=True)
class Health:
    """Health of an environment."""

    nodes: tuple[NodeHealth, ...]
    data: tuple[ComponentHealth, ...]
    backups: BackupHealth
    services: tuple[ServiceHealth, ...]
    endpoints: tuple[EndpointCheck, ...]
    unfinished_restore: str = ""
    """Command that resumes an interrupted in-place restore; empty when there is none."""

    @property
    def problems(self) -> list[str]:
        """All problems, one sentence each."""
        restore = f"an in-place restore is not complete; to resume: {self.unfinished_restore}"
        return [
            *([restore] if self.unfinished_restore else []),
            *self.outages,
            *(f"backups: {problem}" for problem in self.backups.problems),
        ]

    @property
    def outages(self) -> list[str]:
        """Problems of nodes, data, services and endpoints; unlike old backups, they can end by themselves."""
        outages = [f"node {node.name} is not ready" for node in self.nodes if not node.ready]
        outages += [f"{report.component}: {report.summary}" for report in self.data if not report.healthy]
        outages += [
            f"{service.name}: {service.ready} of {service.desired} ready in {len(service.zones)} zones"
            for service in self.services
            if not service.healthy
        ]
        return outages + [f"edge {check.path}: {check.problem}" for check in self.endpoints if check.problem]

    @property
    def healthy(self) -> bool:
        """Whether there are no problems."""
        return not self.problems

    @property
    def summary(self) -> str:
        """Everything in one line."""
        if not self.healthy:
            return "; ".join(self.problems)
        replicas = sum(len(report.replicas) for report in self.data)
        pods = sum(service.ready for service in self.services)
        return f"{len(self.nodes)} nodes, {replicas} data replicas, {pods} service replicas, edge: healthy"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        report = self.backups.report
        return {
            "healthy": self.healthy,
            "problems": self.problems,
            "nodes": [vars(node) for node in self.nodes],
            "data": {
                report.component: [replica.model_dump() for replica in report.replicas]
                for report in self.data
            },
            "backups": {
                "summary": self.backups.summary,
                "problems": list(self.backups.problems),
                **(report.model_dump(mode="json", exclude={"problems"}) if report else {}),
            },
            "services": [{**vars(service), "healthy": service.healthy} for service in self.services],
            "endpoints": [vars(check) for check in self.endpoints],
        }


def collect_health(target: DeploymentTarget) -> Health:
    """Collect the health of an environment once.

    Returns:
        The health of nodes, data, backups, services and endpoints.

    Raises:
        EsqError: the environment is not deployed, or the cluster is unreachable.
    """
    kubeconfig = target.kubeconfig
    if not kubeconfig.is_file():
        raise EsqError(
            f"`{target.environment.name}` is not deployed",
            location=str(kubeconfig),
            remedy=f"Deploy it: `esq deploy {target.environment.name}`.",
        )
    services = KubernetesPodClient(kubeconfig, SERVICES_NAMESPACE)
    processes = target.environment.definition.processes
    api = api_client(kubeconfig, timeout_seconds=_REQUEST_TIMEOUT_SECONDS, retry_seconds=LIST_RETRY_SECONDS)
    with ThreadPoolExecutor(6) as pool:
        nodes = pool.submit(_nodes, api, kubeconfig)
        restore = pool.submit(_unfinished_restore, api, target.environment.name)
        data = pool.submit(data_layer_health.collect, KubernetesPodClient(kubeconfig, DATA_NAMESPACE))
        backups = pool.submit(_backups, KubernetesPodClient(kubeconfig, DATA_NAMESPACE))
        endpoints = pool.submit(_check_endpoints, target)
        counted = pool.map(partial(_service, services, target.environment.definition), processes)
        return Health(
            *(nodes.result(), data.result(), backups.result()),
            *(tuple(counted), endpoints.result(), restore.result()),
        )


def wait_until_healthy(
    environment: Environment,
    target: DeploymentTarget,
    step: ProgressStep,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Health:
    """Poll until there are no outages.

    Args:
        environment: the environment.
        target: its deployment target.
        step: shows the outages.
        clock: monotonic time in seconds.

    Returns:
        The health, without outages.

    Raises:
        EsqError: there are outages after `HEALTHY_TIMEOUT_SECONDS`.
    """
    outages: list[str] = []

    def healthy() -> Health | None:
        health = collect_health(target)
        outages[:] = health.outages
        step.set_status("; ".join(outages))
        return None if outages else health

    health = wait_for(
        healthy, step, HEALTHY_TIMEOUT_SECONDS, interval_seconds=_POLL_INTERVAL_SECONDS, clock=clock
    )
    if health is None:
        raise EsqError(
            f"`{environment.name}` is deployed, but not healthy after {HEALTHY_TIMEOUT_SECONDS:g} s",
            location="health checks",
            remedy=f"See `esq status {environment.name}`.",
            detail="\n".join(f"- {outage}" for outage in outages),
        )
    return health


def _nodes(api: client.ApiClient, kubeconfig: Path) -> tuple[NodeHealth, ...]:
    try:
        nodes = client.CoreV1Api(api).list_node().items
    except API_ERRORS as error:
        raise UnreachableError(
            "the cluster is unreachable",
            location=str(kubeconfig),
            remedy="See `esq cluster status`; `esq cluster up` starts what is not running.",
            detail=str(error)[:500],
        ) from error
    return tuple(
        NodeHealth(
            node.metadata.name,
            node.metadata.labels.get(_ZONE_LABEL, ""),
            any(c.type == "Ready" and c.status == "True" for c in node.status.conditions or []),
        )
        for node in nodes
    )


def _unfinished_restore(api: client.ApiClient, environment: str) -> str:
    request = read_request(api)
    return request.command(environment) if request else ""


def _backups(pods: PodClient) -> BackupHealth:
    now = dt.datetime.now(dt.UTC)
    try:
        report = backup_status.read_report(pods)
    except PodUnreachableError as error:
        return BackupHealth("verifier unreachable", (error.message,))
    return BackupHealth(
        backup_status.summary(report, now), tuple(backup_status.problems(report, now)), report
    )


def _service(pods: PodClient, definition: EnvironmentDefinition, process: Process) -> ServiceHealth:
    ready = [pod for pod in pods.list_pods(process.name) if pod.ready]
    zones: dict[str, int] = {}
    for pod in ready:
        zones[pod.zone or "?"] = zones.get(pod.zone or "?", 0) + 1
    return ServiceHealth(process.name, len(ready), definition.replicas_of(process), zones)


def _check_endpoints(target: DeploymentTarget) -> tuple[EndpointCheck, ...]:
    """Send a request to every public endpoint; any response of a service shows that it serves."""
    ca = target.edge_ca
    if not target.address or (ca is not None and not ca.is_file()):
        return ()
    processes = target.environment.definition.processes
    endpoints = [process.public_endpoint for process in processes if process.public_endpoint]
    paths: Sequence[str] = [prefix for endpoint in endpoints for prefix in endpoint.path_prefixes]
    context = ssl.create_default_context(cafile=str(ca) if ca else None)
    with httpx.Client(verify=context, timeout=_REQUEST_TIMEOUT_SECONDS) as http:
        return tuple(EndpointCheck(path, _check_endpoint(http, target.address + path)) for path in paths)


def _check_endpoint(http: httpx.Client, url: str) -> str:
    try:
        response = http.get(url)
    except httpx.HTTPError as error:
        return f"{type(error).__name__}: {error}"
    failed = response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR
    return f"status {response.status_code}" if failed else ""
