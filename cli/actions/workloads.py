"""Workloads of an environment that an operator can reach by name, and their pods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubernetes import client

from infra.components.backup import VERIFIER
from infra.components.kafka.kubernetes import NAME as KAFKA
from infra.components.object_store.kubernetes import NAME as OBJECT_STORE
from infra.components.postgres.kubernetes import NAME as POSTGRES
from infra.components.redis.kubernetes import NAME as REDIS
from infra.config_files import garage, kafka, postgres, redis
from infra.errors import EsqError, UsageError
from infra.kubernetes import api_client, get_or_none
from infra.names import DATA_NAMESPACE, NAME_LABEL, SERVICES_NAMESPACE
from infra.processes import PROCESSES
from services.contracts.endpoints import HTTP_PORT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.actions.deployment_target import DeploymentTarget


@dataclass(frozen=True)
class Workload:
    """A workload whose pods an operator can reach.

    Attributes:
        name: value of the label `infra.names.NAME_LABEL` of its pods.
        namespace: namespace of its pods.
        container: container for logs and commands.
        port: port of its service in the pod; None without a service.
        primary_selector: further labels of the pod that accepts writes; empty when all pods are equal.
    """

    name: str
    namespace: str
    container: str
    port: int | None
    primary_selector: str = ""

    @property
    def selector(self) -> str:
        """Label selector of the preferred pod."""
        return ",".join(filter(None, (f"{NAME_LABEL}={self.name}", self.primary_selector)))


WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        *(Workload(process.name, SERVICES_NAMESPACE, "main", HTTP_PORT) for process in PROCESSES),
        Workload(POSTGRES, DATA_NAMESPACE, POSTGRES, postgres.PORT, "role=primary"),
        Workload(REDIS, DATA_NAMESPACE, REDIS, redis.PORT),
        Workload(KAFKA, DATA_NAMESPACE, KAFKA, kafka.CLIENT_PORT),
        Workload(OBJECT_STORE, DATA_NAMESPACE, "garage", garage.S3_PORT),
        Workload(VERIFIER, DATA_NAMESPACE, "main", None),
    )
}


def find_workloads(names: Sequence[str]) -> list[Workload]:
    """Return workloads by name; without names, all processes of the application.

    Raises:
        UsageError: unknown names, or workloads of different namespaces.
    """
    if unknown := [name for name in names if name not in WORKLOADS]:
        raise UsageError(
            f"no such workload: {', '.join(unknown)}",
            location="WORKLOAD",
            remedy=f"The workloads are {', '.join(WORKLOADS)}.",
        )
    workloads = [WORKLOADS[name] for name in names or [process.name for process in PROCESSES]]
    if len({workload.namespace for workload in workloads}) > 1:
        raise UsageError(
            "these workloads are in different namespaces",
            location="WORKLOAD",
            remedy="Use one command for the data layer and another for the services.",
        )
    return workloads


def find_pod(target: DeploymentTarget, workload: Workload) -> str:
    """Return the name of a ready pod: the primary where there is one.

    Args:
        target: the deployment target.
        workload: the workload.

    Raises:
        EsqError: no pod is ready, or the cluster is unreachable.
    """
    core = client.CoreV1Api(api_client(target.kubeconfig))
    listed = get_or_none(
        lambda: core.list_namespaced_pod(workload.namespace, label_selector=workload.selector)
    )
    for pod in sorted(listed.items if listed else [], key=lambda pod: str(pod.metadata.name)):
        conditions = pod.status.conditions or []
        if any(condition.type == "Ready" and condition.status == "True" for condition in conditions):
            return str(pod.metadata.name)
    raise EsqError(
        f"no pod of {workload.name} is ready",
        location=f"{workload.namespace}, {workload.selector}",
        remedy=f"See `esq status {target.environment.name}`, or name a pod with --pod.",
    )
