"""What an experiment is run on: the environment, how to reach it, and who does what in it right now."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from chaos.journal import UndoJournal
from infra.components.pods import KubernetesPods
from infra.errors import EsqError, UsageError
from infra.kubernetes import connect
from infra.names import DATA_NAMESPACE, SERVICES_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from chaos.traffic.client import Endpoints
    from infra.components.report import Pod
    from infra.credentials import Credentials
    from infra.zones import Cluster

API_SECONDS = 3.0
_SENTINEL = (
    *("redis-cli", "-e", "--tls", "--cacert", "/etc/esq/tls/ca.crt", "-p", "26379"),
    *("sentinel", "master", "esq"),
)
_BROKER = ("python3", "/etc/esq/kafka/probe.py", "report")


@dataclass(frozen=True)
class Place:
    """A pod, and where it is.

    Attributes:
        namespace: its own.
        pod: its name.
        zone: of its node; None while it has none.
        uid: its own.
        containers: id by name of those that run.
    """

    namespace: str
    pod: str
    zone: str | None
    uid: str
    containers: dict[str, str]

    def __str__(self) -> str:
        return f"pod {self.namespace}/{self.pod}"


@dataclass(frozen=True)
class Target:
    """An environment, opened for an experiment.

    Attributes:
        environment: its name.
        folder: where journals and reports of its experiments are kept.
        kubeconfig: of its cluster.
        cluster: the zones; None for a cluster that was given, which can only be hurt through its API.
        credentials: to get in as a client would.
        troubles: asks everything once; returns what is not well, one sentence each.
        endpoints: where clients find it, for a run of the given name.
        campaign: command line that sends a campaign and reports the ledger's verdict as JSON.
    """

    environment: str
    folder: Path
    kubeconfig: Path
    cluster: Cluster | None
    credentials: Credentials = field(repr=False)
    troubles: Callable[[], list[str]]
    endpoints: Callable[[str], Endpoints]
    campaign: Callable[[str], list[str]]

    @property
    def journal(self) -> UndoJournal:
        """What is open."""
        return UndoJournal(self.folder / "open")

    @property
    def zones(self) -> Cluster:
        """The zones.

        Raises:
            UsageError: the cluster was given, so that its machines are not ours to hurt.
        """
        if self.cluster is None:
            raise UsageError(
                "this fault needs the zones, whose machines it hurts",
                location=self.environment,
                remedy="Run it on `local`, or choose an experiment that hurts pods only.",
            )
        return self.cluster

    def core(self) -> client.CoreV1Api:
        """Return a client for pods, nodes, endpoints and secrets; one of its own for each caller."""
        return client.CoreV1Api(connect(self.kubeconfig))

    def apps(self) -> client.AppsV1Api:
        """Return a client for workloads."""
        return client.AppsV1Api(connect(self.kubeconfig))

    @cached_property
    def data(self) -> KubernetesPods:
        """The pods of the data layer."""
        return KubernetesPods(self.kubeconfig, DATA_NAMESPACE)

    @cached_property
    def services(self) -> KubernetesPods:
        """The pods of the application."""
        return KubernetesPods(self.kubeconfig, SERVICES_NAMESPACE)

    def postgres(self) -> tuple[str, int]:
        """Return the pod that leads Postgres, and how often the lead has changed.

        Raises:
            EsqError: nobody does, or the cluster does not answer.
        """
        try:
            found = self.core().read_namespaced_endpoints(
                "postgres", DATA_NAMESPACE, _request_timeout=API_SECONDS
            )
        except (ApiException, HTTPError) as error:
            raise EsqError("the cluster does not tell who leads Postgres", detail=str(error)[:300]) from error
        told = found.metadata.annotations or {}
        if "leader" not in told:
            raise EsqError("nobody leads Postgres", location=f"{DATA_NAMESPACE}/postgres")
        return str(told["leader"]), int(told.get("transitions", 0))

    def redis(self) -> tuple[str, int]:
        """Return the pod of the Redis primary, and the epoch in which it became that.

        Raises:
            EsqError: no Sentinel answers.
        """
        lines = self._ask("redis", "sentinel", _SENTINEL).split("\n")
        told = dict(zip(lines[::2], lines[1::2], strict=False))
        return told["ip"].partition(".")[0], int(told["config-epoch"])

    def kafka(self) -> tuple[str, dict[str, int]]:
        """Return the pod that leads the quorum, and the broker that leads each partition.

        Raises:
            EsqError: no broker answers.
        """
        told = json.loads(self._ask("kafka", "kafka", _BROKER))
        leaders = {
            f"{each['topic']}-{each['number']}": each["leader"]
            for each in told["metadata"]["partitions"]
            if not each["topic"].startswith("esq.chaos.")
        }
        return f"kafka-{told['quorum']['leader']}", leaders

    def _ask(self, name: str, container: str, argv: tuple[str, ...]) -> str:
        """Ask the pods of `name` in turn, ready ones first."""
        failure: EsqError = EsqError(f"there are no pods of {name}")
        for pod in sorted(self.data.of(name), key=lambda each: not each.ready):
            try:
                return self.data.run(pod.name, container, argv)
            except EsqError as error:
                failure = error
        raise failure

    def place(self, who: str) -> Place:
        """Return the pod that `who` means: its name, or a part that it plays.

        `postgres-primary`, `postgres-standby`, `redis-primary`, `kafka-controller`, a name such as
        `objects-1`, or that of a workload such as `whatsapp-dispatcher`, of which a ready pod is taken.

        Raises:
            UsageError: no pod is meant by it.
        """
        name = self._plays(who)
        workload = re.sub(r"-\d+$", "", name)
        for namespace, pods in ((DATA_NAMESPACE, self.data), (SERVICES_NAMESPACE, self.services)):
            found = [each for each in pods.of(workload) if name in {each.name, workload}]
            if found:
                return self._placed(namespace, min(found, key=lambda each: not each.ready))
        raise UsageError(f"no pod is meant by `{who}`", location="experiment", remedy="See `esq status`.")

    def _placed(self, namespace: str, pod: Pod) -> Place:
        found = self.core().read_namespaced_pod(pod.name, namespace, _request_timeout=API_SECONDS)
        ids = {each.name: str(each.container_id or "") for each in found.status.container_statuses or ()}
        return Place(namespace, pod.name, pod.zone, str(found.metadata.uid), ids)

    def _plays(self, who: str) -> str:
        if who == "postgres-primary":
            return self.postgres()[0]
        if who == "postgres-standby":
            leader = self.postgres()[0]
            return next(each.name for each in self.data.of("postgres") if each.name != leader)
        if who == "redis-primary":
            return self.redis()[0]
        if who == "kafka-controller":
            return self.kafka()[0]
        return who

    def zone(self, where: str) -> str:
        """Return a zone: its name, or that of the pod that `where` means.

        Raises:
            UsageError: there is no such zone.
        """
        if where in self.zones.spec.zones:
            return where
        found = self.place(where).zone
        if found is None:
            raise UsageError(f"`{where}` runs in no zone", location="experiment", remedy="See `esq status`.")
        return found
