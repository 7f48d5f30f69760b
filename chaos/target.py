"""Target of an experiment: the environment, access to it, and the pods that currently have each role."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from kubernetes import client

from chaos.adapters.embedded import EmbeddedFaults
from chaos.adapters.kubernetes import KubernetesFaults
from chaos.journal import UndoJournal
from chaos.pod_location import PodLocation
from infra.components.pod_client import KubernetesPodClient
from infra.errors import EsqError, UsageError
from infra.kubernetes import API_ERRORS, api_client
from infra.names import DATA_NAMESPACE, PART_OF_LABEL, PRODUCT, SERVICES_NAMESPACE, ZONE_LABEL

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from contextlib import AbstractContextManager
    from pathlib import Path

    from chaos.adapters import FaultPort
    from chaos.traffic.client import Endpoints
    from infra.components.component_health import Pod
    from infra.credentials import Credentials
    from infra.zones import Cluster
    from runbooks.check import CheckContext

_SENTINEL = (
    *("redis-cli", "-e", "--user", "probe", "--tls", "--cacert", "/etc/esq/tls/ca.crt", "-p", "26379"),
    *("sentinel", "master", "esq"),
)
_BROKER = ("python3", "/etc/esq/kafka/probe.py", "report")


@dataclass(frozen=True)
class Target:
    """An environment, opened for an experiment.

    Attributes:
        environment: name of the environment.
        folder: folder of the journals and reports of its experiments.
        kubeconfig: kubeconfig of its cluster.
        cluster: the zones; None for an external cluster, which accepts only faults through its API.
        credentials: credentials of the platform.
        find_problems: checks every component; returns one sentence per problem.
        open_context: reads the environment for the checks of the runbooks, once for each call.
        endpoints: returns the endpoints and credentials for the clients of the run with this name.
        campaign_command: returns the command that sends a campaign to this number of contacts and prints the
            reconciliation with the ledger as JSON.
        rotation_command: command that replaces all credentials of the platform.
        read_token_key: returns the HMAC key of bearer tokens that is used now.
        exclude_other_machines: returns a context in which no other machine runs an experiment, given the name
            of the experiment.
    """

    environment: str
    folder: Path
    kubeconfig: Path
    cluster: Cluster | None
    credentials: Credentials = field(repr=False)
    find_problems: Callable[[], list[str]]
    open_context: Callable[[], CheckContext]
    endpoints: Callable[[str], Endpoints]
    campaign_command: Callable[[str], list[str]]
    rotation_command: tuple[str, ...]
    read_token_key: Callable[[], str]
    exclude_other_machines: Callable[[str], AbstractContextManager[object]] = nullcontext

    @property
    def journal(self) -> UndoJournal:
        """Journal of the open faults."""
        return UndoJournal(self.folder / "open", self.environment)

    @property
    def zones(self) -> Cluster:
        """The zones.

        Raises:
            UsageError: the cluster is external, so that its hosts are not available for faults.
        """
        if self.cluster is None:
            raise UsageError(
                "this fault needs access to the hosts of the zones",
                location=self.environment,
                remedy="Run it on `local`, or choose another experiment: see `esq chaos list`.",
            )
        return self.cluster

    @cached_property
    def faults(self) -> FaultPort:
        """Adapter of the faults that each kind of cluster injects in its own way."""
        if self.cluster is not None:
            return EmbeddedFaults(self.cluster)
        return KubernetesFaults(self.kubeconfig, self.pods_in_zone)

    def core_api(self) -> client.CoreV1Api:
        """Return a client for pods, nodes, endpoints and secrets; a new one for each caller."""
        return client.CoreV1Api(api_client(self.kubeconfig))

    @cached_property
    def data_pods(self) -> KubernetesPodClient:
        """The pods of the data layer."""
        return KubernetesPodClient(self.kubeconfig, DATA_NAMESPACE)

    @cached_property
    def service_pods(self) -> KubernetesPodClient:
        """The pods of the services layer."""
        return KubernetesPodClient(self.kubeconfig, SERVICES_NAMESPACE)

    def postgres_leader(self) -> tuple[str, int]:
        """Return the pod of the Postgres leader and the number of leader changes.

        Raises:
            EsqError: there is no leader, or the cluster does not respond.
        """
        try:
            endpoints = self.core_api().read_namespaced_endpoints("postgres", DATA_NAMESPACE)
        except API_ERRORS as error:
            raise EsqError(
                "the cluster does not return the Postgres leader", detail=str(error)[:300]
            ) from error
        annotations = endpoints.metadata.annotations or {}
        if "leader" not in annotations:
            raise EsqError("Postgres has no leader", location=f"{DATA_NAMESPACE}/postgres")
        return str(annotations["leader"]), int(annotations.get("transitions", 0))

    def redis_primary(self) -> tuple[str, int]:
        """Return the pod of the Redis primary and the epoch of its promotion.

        Raises:
            EsqError: no Sentinel responds.
        """
        lines = self._run_in_any_pod("redis", "sentinel", _SENTINEL).split("\n")
        fields = dict(zip(lines[::2], lines[1::2], strict=False))
        return fields["ip"].partition(".")[0], int(fields["config-epoch"])

    def kafka_leaders(self) -> tuple[str, dict[str, int]]:
        """Return the pod of the active controller, and the leader of each partition of the platform.

        Raises:
            EsqError: no broker responds.
        """
        controller, leaders = self.all_kafka_leaders()
        return controller, {
            name: leader for name, leader in leaders.items() if not name.startswith("esq.chaos.")
        }

    def all_kafka_leaders(self) -> tuple[str, dict[str, int]]:
        """Return the same, with the partitions of the traffic.

        Raises:
            EsqError: no broker responds.
        """
        report = json.loads(self._run_in_any_pod("kafka", "kafka", _BROKER))
        leaders = {
            f"{partition['topic']}-{partition['number']}": partition["leader"]
            for partition in report["metadata"]["partitions"]
        }
        return f"kafka-{report['quorum']['leader']}", leaders

    def _run_in_any_pod(self, name: str, container: str, argv: tuple[str, ...]) -> str:
        """Run a command in the pods of `name`, ready ones first, until one succeeds."""
        failure: EsqError = EsqError(f"there are no pods of {name}")
        for pod in sorted(self.data_pods.list_pods(name), key=lambda pod: not pod.ready):
            try:
                return self.data_pods.run(pod.name, container, argv)
            except EsqError as error:
                failure = error
        raise failure

    def resolve_pod(self, pod: str) -> PodLocation:
        """Return the location of a pod.

        Args:
            pod: a role (`postgres-primary`, `postgres-standby`, `redis-primary`, `kafka-controller`), the
                name of a pod (`object-store-1`), or the name of a workload (`whatsapp-dispatcher`), of which
                a ready pod is taken.

        Raises:
            UsageError: no pod matches.
        """
        name = self._pod_in_role(pod)
        workload = re.sub(r"-\d+$", "", name)
        for namespace, pods in (
            (DATA_NAMESPACE, self.data_pods),
            (SERVICES_NAMESPACE, self.service_pods),
        ):
            matches = [
                candidate for candidate in pods.list_pods(workload) if name in {candidate.name, workload}
            ]
            if matches:
                return self._location(namespace, min(matches, key=lambda candidate: not candidate.ready))
        raise UsageError(f"no pod matches `{pod}`", location="experiment", remedy=self._status_remedy)

    @property
    def _status_remedy(self) -> str:
        return f"See `esq status {self.environment}`."

    def _location(self, namespace: str, pod: Pod) -> PodLocation:
        details = self.core_api().read_namespaced_pod(pod.name, namespace)
        return PodLocation(
            namespace=namespace,
            pod=pod.name,
            zone=pod.zone,
            node=str(details.spec.node_name or ""),
            uid=str(details.metadata.uid),
            containers={
                status.name: str(status.container_id or "")
                for status in details.status.container_statuses or ()
            },
            images={container.name: container.image for container in details.spec.containers},
        )

    def _pod_in_role(self, pod: str) -> str:
        if pod == "postgres-primary":
            return self.postgres_leader()[0]
        if pod == "postgres-standby":
            leader = self.postgres_leader()[0]
            return next(
                member.name for member in self.data_pods.list_pods("postgres") if member.name != leader
            )
        if pod == "redis-primary":
            return self.redis_primary()[0]
        if pod == "kafka-controller":
            return self.kafka_leaders()[0]
        return pod

    def resolve_zone(self, zone: str) -> str:
        """Return the name of a zone.

        Args:
            zone: name of a zone, or a pod as in `resolve_pod`, whose zone is returned.

        Raises:
            UsageError: no zone matches.
        """
        if zone in self._zone_names():
            return zone
        pod_zone = self.resolve_pod(zone).zone
        if pod_zone is None:
            raise UsageError(f"`{zone}` runs in no zone", location="experiment", remedy=self._status_remedy)
        return pod_zone

    def resolve_node(self, node: str) -> str:
        """Return the name of a node that is not cordoned: the undo of a drain could not tell why it is.

        Args:
            node: name of a node, or a pod as in `resolve_pod`, whose node is returned.

        Raises:
            UsageError: no node matches, or it is cordoned.
        """
        nodes = {entry.metadata.name: entry for entry in self.core_api().list_node().items}
        name = node if node in nodes else self.resolve_pod(node).node
        if name not in nodes:
            raise UsageError(f"`{node}` runs on no node", location="experiment", remedy=self._status_remedy)
        if nodes[name].spec.unschedulable:
            raise UsageError(
                f"node {name} is cordoned already",
                location="experiment",
                remedy=f"Wait until it is free, or: kubectl uncordon {name}",
            )
        return str(name)

    def pods_in_zone(self, zone: str) -> list[PodLocation]:
        """Return the pods of the platform that run in a zone."""
        return [
            self._location(pods.namespace, pod)
            for pods in (self.data_pods, self.service_pods)
            for pod in pods.select(f"{PART_OF_LABEL}={PRODUCT}")
            if pod.zone == zone
        ]

    def python_image(self) -> str:
        """Return an image with Python that the cluster can pull: that of the services.

        Raises:
            UsageError: no service runs.
        """
        return next(iter(self.resolve_pod("contacts-api").images.values()))

    def _zone_names(self) -> Collection[str]:
        if self.cluster is not None:
            return self.cluster.spec.zones
        nodes = self.core_api().list_node().items
        return {(node.metadata.labels or {}).get(ZONE_LABEL, "") for node in nodes}
