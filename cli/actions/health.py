"""How an environment is: nodes, data layer, backups, services and edge, all asked at the same time."""

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
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from infra import status
from infra.components.backup import status as of_backups
from infra.components.pods import KubernetesPods
from infra.components.report import NoAnswerError
from infra.errors import EsqError
from infra.kubernetes import connect
from infra.names import DATA_NAMESPACE, SERVICES_NAMESPACE
from infra.processes import PROCESSES, REPLICAS
from services.contracts.ports import FACES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cli.actions.ground import Ground
    from cli.environment import Environment
    from infra.components.backup.status import Seen
    from infra.components.report import Pods, Report
    from infra.progress import ProgressStep

WELL_SECONDS = 120.0
"""After a deploy everything must be well within this time."""
_PAUSE = 1.0
_TIMEOUT = 5.0
_ZONE = "topology.kubernetes.io/zone"


@dataclass(frozen=True)
class Node:
    """A node of the cluster."""

    name: str
    zone: str
    ready: bool


@dataclass(frozen=True)
class Service:
    """A process of the application, over its replicas.

    Attributes:
        name: of its Deployment.
        ready: replicas that can do their work.
        wanted: replicas that there should be.
        zones: ready replicas by zone.
    """

    name: str
    ready: int
    wanted: int
    zones: dict[str, int]

    @property
    def healthy(self) -> bool:
        """Whether all replicas are ready, and not all in one zone."""
        return self.ready >= self.wanted and len(self.zones) > 1


@dataclass(frozen=True)
class Door:
    """A way in through the edge, and what it answered; empty when it serves."""

    path: str
    trouble: str = ""


@dataclass(frozen=True)
class Backups:
    """How the backups are: in one line, what is wrong, and everything the witness saw."""

    summary: str
    troubles: tuple[str, ...] = ()
    seen: Seen | None = None


@dataclass(frozen=True)
class Health:
    """How an environment is."""

    nodes: tuple[Node, ...]
    data: tuple[Report, ...]
    backups: Backups
    services: tuple[Service, ...]
    edge: tuple[Door, ...]

    @property
    def troubles(self) -> list[str]:
        """Everything that is not as it should be, one sentence each."""
        return self.outages + [f"backups: {trouble}" for trouble in self.backups.troubles]

    @property
    def outages(self) -> list[str]:
        """What does not serve as it should; time may mend it, which it does not do to old backups."""
        found = [f"node {node.name} is not ready" for node in self.nodes if not node.ready]
        found += [f"{report.thing}: {report.summary}" for report in self.data if not report.healthy]
        found += [
            f"{service.name}: {service.ready} of {service.wanted} ready in {len(service.zones)} zones"
            for service in self.services
            if not service.healthy
        ]
        return found + [f"edge {door.path}: {door.trouble}" for door in self.edge if door.trouble]

    @property
    def healthy(self) -> bool:
        """Whether nothing is amiss."""
        return not self.troubles

    @property
    def summary(self) -> str:
        """All in one line."""
        if not self.healthy:
            return "; ".join(self.troubles)
        replicas = sum(len(report.replicas) for report in self.data)
        pods = sum(service.ready for service in self.services)
        return f"{len(self.nodes)} nodes, {replicas} data replicas, {pods} service replicas, edge: all well"

    def report(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "healthy": self.healthy,
            "troubles": self.troubles,
            "nodes": [vars(node) for node in self.nodes],
            "data": {
                report.thing: [replica.model_dump() for replica in report.replicas] for report in self.data
            },
            "backups": {
                "summary": self.backups.summary,
                "troubles": list(self.backups.troubles),
                **(
                    self.backups.seen.model_dump(mode="json", exclude={"troubles"})
                    if self.backups.seen
                    else {}
                ),
            },
            "services": [{**vars(service), "healthy": service.healthy} for service in self.services],
            "edge": [vars(door) for door in self.edge],
        }


def look(ground: Ground) -> Health:
    """Ask everything once.

    Raises:
        EsqError: the cluster itself does not answer.
    """
    kubeconfig = ground.kubeconfig
    if not kubeconfig.is_file():
        raise EsqError(
            f"`{ground.environment.name}` is not there",
            location=str(kubeconfig),
            remedy=f"Deploy it: `esq deploy {ground.environment.name}`.",
        )
    services = KubernetesPods(kubeconfig, SERVICES_NAMESPACE)
    with ThreadPoolExecutor(5) as pool:
        nodes = pool.submit(_nodes, kubeconfig)
        data = pool.submit(status.data_layer, KubernetesPods(kubeconfig, DATA_NAMESPACE))
        backups = pool.submit(_backups, KubernetesPods(kubeconfig, DATA_NAMESPACE))
        edge = pool.submit(_edge, ground)
        counted = pool.map(partial(_service, services), [process.name for process in PROCESSES])
        return Health(nodes.result(), data.result(), backups.result(), tuple(counted), edge.result())


def wait_until_well(
    environment: Environment,
    ground: Ground,
    step: ProgressStep,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Health:
    """Ask until all serves as it should.

    Raises:
        EsqError: it was not within `WELL_SECONDS`.
    """
    deadline = clock() + WELL_SECONDS
    while (found := look(ground)).outages:
        step.set_status("; ".join(found.outages))
        if clock() > deadline:
            raise EsqError(
                f"`{environment.name}` was deployed, but is not well after {WELL_SECONDS:g} s",
                location="checks",
                remedy=f"See `esq status {environment.name}`.",
                detail="\n".join(f"- {trouble}" for trouble in found.outages),
            )
        time.sleep(_PAUSE)
    return found


def _nodes(kubeconfig: Path) -> tuple[Node, ...]:
    try:
        api = client.CoreV1Api(connect(kubeconfig))
        found = api.list_node(_request_timeout=_TIMEOUT).items
    except (ApiException, HTTPError) as error:
        raise EsqError(
            "the cluster does not answer",
            location=str(kubeconfig),
            remedy="See `esq cluster status`; `esq cluster up` starts what is not running.",
            detail=str(error)[:500],
        ) from error
    return tuple(
        Node(
            each.metadata.name,
            each.metadata.labels.get(_ZONE, ""),
            any(c.type == "Ready" and c.status == "True" for c in each.status.conditions or []),
        )
        for each in found
    )


def _backups(pods: Pods) -> Backups:
    now = dt.datetime.now(dt.UTC)
    try:
        seen = of_backups.read(pods)
    except NoAnswerError as error:
        return Backups("nobody watches them", (error.message,))
    return Backups(of_backups.summary(seen, now), tuple(of_backups.troubles(seen, now)), seen)


def _service(pods: Pods, name: str) -> Service:
    ready = [pod for pod in pods.of(name) if pod.ready]
    zones: dict[str, int] = {}
    for pod in ready:
        zones[pod.zone or "?"] = zones.get(pod.zone or "?", 0) + 1
    return Service(name, len(ready), REPLICAS, zones)


def _edge(ground: Ground) -> tuple[Door, ...]:
    """Knock at every face; whatever a service answers shows that it is served."""
    if ground.cluster is None or not ground.cluster.ca.is_file():
        return ()
    paths: Sequence[str] = [prefix for face in FACES for prefix in face.prefixes]
    with httpx.Client(
        verify=ssl.create_default_context(cafile=str(ground.cluster.ca)), timeout=_TIMEOUT
    ) as http:
        return tuple(Door(path, _knock(http, ground.address + path)) for path in paths)


def _knock(http: httpx.Client, url: str) -> str:
    try:
        answer = http.get(url)
    except httpx.HTTPError as error:
        return f"{type(error).__name__}: {error}"
    return "" if answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR else f"answers {answer.status_code}"
