"""Kubernetes operations of a restore, and the request of an in-place restore.

The recovery target is a ConfigMap that Postgres pods read when they have no data. The request is a ConfigMap
that exists from before the first change until everything runs again, so that a restore can always resume.
Every operation may be repeated.
"""

from __future__ import annotations

import shlex
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, partial
from typing import TYPE_CHECKING

from kubernetes import client
from pydantic import BaseModel, ConfigDict

from infra.components import backup as names
from infra.components.pod_client import KubernetesPodClient
from infra.components.postgres import status as postgres_status
from infra.errors import EsqError
from infra.kubernetes import api_client, get_or_none
from infra.names import (
    DATA_NAMESPACE,
    NAME_LABEL,
    PART_OF_LABEL,
    PRODUCT,
    SERVICES_NAMESPACE,
    STATEFUL_REPLICAS,
)
from infra.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cli.actions.deployment_target import DeploymentTarget
    from infra.progress import ProgressStep

REQUEST = "restore-request"
"""Name of the ConfigMap of the request."""
RECOVERY_TARGET = "postgres-recovery-target"
"""Name of the ConfigMap; `infra.components.postgres.kubernetes` mounts it."""
POSTGRES = "postgres"
PATRONI_ENDPOINTS = (POSTGRES, "postgres-config", "postgres-sync", "postgres-failover")
"""Endpoints objects that hold Patroni's state."""
DELETION_TIMEOUT_SECONDS = 180.0
RESTORE_TIMEOUT_SECONDS = 3900.0


class Phase(StrEnum):
    """How far an in-place restore is.

    Attributes:
        BACK_UP: the services stop and the current state is backed up; the database is unchanged.
        RESTORE: the database is replaced; nothing was written to the new one.
        START: the database is restored; the services start.
    """

    BACK_UP = "back-up"
    RESTORE = "restore"
    START = "start"


class RestoreRequest(BaseModel):
    """Request of an in-place restore.

    Attributes:
        target: `latest`, a time, or the label of a backup.
        arguments: arguments of pgBackRest, chosen while the backups were known.
        phase: the phase to resume with.
        undo: label of the backup of the state before the restore; None before there is one.
    """

    model_config = ConfigDict(frozen=True)

    target: str
    arguments: tuple[str, ...]
    phase: Phase = Phase.BACK_UP
    undo: str | None = None

    def command(self, environment: str) -> str:
        """Return the command that resumes the restore."""
        return f"esq backup restore {environment} --target {shlex.quote(self.target)} --in-place"


def read_request(api: client.ApiClient) -> RestoreRequest | None:
    """Return the request of the in-place restore that is not complete; None when there is none."""
    read = client.CoreV1Api(api).read_namespaced_config_map
    config_map = get_or_none(lambda: read(REQUEST, DATA_NAMESPACE))
    return None if config_map is None else RestoreRequest.model_validate_json(config_map.data["request"])


def require_no_restore(target: DeploymentTarget) -> None:
    """Require that no in-place restore is unfinished: what runs now would start services under it.

    Args:
        target: the deployment target.

    Raises:
        EsqError: one is; the services may be stopped until it is complete.
    """
    with closing(api_client(target.kubeconfig)) as api:
        request = read_request(api)
    if request is not None:
        raise EsqError(
            f"an interrupted restore to `{request.target}` has to be completed first",
            location=f"configmap {DATA_NAMESPACE}/{REQUEST}",
            remedy=f"Resume it: `{request.command(target.environment.name)}`.",
        )


@dataclass(frozen=True)
class RestoreOperations:
    """Kubernetes operations of a restore.

    Attributes:
        target: the deployment target.
    """

    target: DeploymentTarget

    @cached_property
    def _client(self) -> client.ApiClient:
        return api_client(self.target.kubeconfig)

    @cached_property
    def _apps(self) -> client.AppsV1Api:
        return client.AppsV1Api(self._client)

    @cached_property
    def _core(self) -> client.CoreV1Api:
        return client.CoreV1Api(self._client)

    def request(self) -> RestoreRequest | None:
        """Return the request; see `read_request`."""
        return read_request(self._client)

    def save_request(self, request: RestoreRequest) -> None:
        """Create or replace the request."""
        self._save_config_map(REQUEST, {"request": request.model_dump_json()})

    def delete_request(self) -> None:
        """Delete the request: everything runs."""
        self._delete_config_map(REQUEST)

    def recovery_target(self) -> dict[str, str] | None:
        """Return the data of the recovery target ConfigMap; None when no database is being restored."""
        read = self._core.read_namespaced_config_map
        config_map = get_or_none(lambda: read(RECOVERY_TARGET, DATA_NAMESPACE))
        return None if config_map is None else dict(config_map.data or {})

    def set_recovery_target(self, target: str, arguments: Sequence[str]) -> None:
        """Let the first Postgres member restore a backup instead of initialising a new database cluster.

        Args:
            target: `latest`, a time, or the label of a backup.
            arguments: arguments of pgBackRest.
        """
        lines = "".join(f"{argument}\n" for argument in arguments)
        self._save_config_map(RECOVERY_TARGET, {"target": target, "arguments": lines})

    def clear_recovery_target(self) -> None:
        """Delete the recovery target; the database is restored."""
        self._delete_config_map(RECOVERY_TARGET)

    def _save_config_map(self, name: str, data: dict[str, str]) -> None:
        metadata = client.V1ObjectMeta(name=name, labels={PART_OF_LABEL: PRODUCT})
        body = client.V1ConfigMap(metadata=metadata, data=data)
        replace = self._core.replace_namespaced_config_map
        if get_or_none(lambda: replace(name, DATA_NAMESPACE, body)) is None:
            get_or_none(lambda: self._core.create_namespaced_config_map(DATA_NAMESPACE, body))

    def _delete_config_map(self, name: str) -> None:
        get_or_none(lambda: self._core.delete_namespaced_config_map(name, DATA_NAMESPACE))

    def stop_services(self) -> None:
        """Scale every service and the backup verifier to zero."""
        self._scale_services(is_running=False)

    def start_services(self) -> None:
        """Scale every service and the backup verifier to the replicas of the definition."""
        self._scale_services(is_running=True)

    def _scale_services(self, *, is_running: bool) -> None:
        definition = self.target.environment.definition
        for process in definition.processes:
            replicas = definition.replicas_of(process) if is_running else 0
            self._scale_deployment(process.name, SERVICES_NAMESPACE, replicas)
        self._scale_deployment(names.VERIFIER, DATA_NAMESPACE, int(is_running))

    def _scale_deployment(self, name: str, namespace: str, replicas: int) -> None:
        body = {"spec": {"replicas": replicas}}
        get_or_none(lambda: self._apps.patch_namespaced_deployment_scale(name, namespace, body))

    def scale_postgres(self, replicas: int) -> None:
        """Scale Postgres."""
        body = {"spec": {"replicas": replicas}}
        get_or_none(lambda: self._apps.patch_namespaced_stateful_set_scale(POSTGRES, DATA_NAMESPACE, body))

    def delete_database_state(self, step: ProgressStep) -> None:
        """Delete Postgres' volumes and Patroni's state.

        Raises:
            EsqError: the volumes were not deleted in time.
        """
        for ordinal in range(STATEFUL_REPLICAS):
            claim = f"data-{POSTGRES}-{ordinal}"
            delete = self._core.delete_namespaced_persistent_volume_claim
            get_or_none(partial(delete, claim, DATA_NAMESPACE))
        self.wait_for_deletion(step, "volumes", self._volume_claims)
        for name in PATRONI_ENDPOINTS:
            get_or_none(partial(self._core.delete_namespaced_endpoints, name, DATA_NAMESPACE))

    def _volume_claims(self) -> list[str]:
        claims = get_or_none(lambda: self._core.list_namespaced_persistent_volume_claim(DATA_NAMESPACE))
        claim_names = [claim.metadata.name for claim in claims.items]
        return [name for name in claim_names if name.startswith(f"data-{POSTGRES}-")]

    def running_pods(self, namespace: str, name: str = "") -> list[str]:
        """Return the names of running pods.

        Args:
            namespace: namespace of the pods.
            name: name of the workload; all when empty.
        """
        selector = f"{NAME_LABEL}={name}" if name else f"{PART_OF_LABEL}={PRODUCT}"
        pods = get_or_none(lambda: self._core.list_namespaced_pod(namespace, label_selector=selector))
        ended = {"Succeeded", "Failed"}
        return [pod.metadata.name for pod in pods.items if pod.status.phase not in ended]

    def wait_for_deletion(
        self, step: ProgressStep, description: str, remaining: Callable[[], list[str]]
    ) -> None:
        """Wait until nothing remains.

        Args:
            step: shows what remains.
            description: description of the objects, e.g. `pods`.
            remaining: returns their names.

        Raises:
            EsqError: objects remain after `DELETION_TIMEOUT_SECONDS`.
        """
        remaining_names: list[str] = []

        def deleted() -> bool | None:
            remaining_names[:] = remaining()
            step.set_status(f"deletion of {description}: {', '.join(remaining_names)}")
            return None if remaining_names else True

        if wait_for(deleted, step, DELETION_TIMEOUT_SECONDS) is None:
            raise EsqError(
                f"{description} were not deleted in time: {', '.join(remaining_names)}",
                location=DATA_NAMESPACE,
                remedy="Repeat the command; it resumes.",
            )

    def wait_for_postgres(self, step: ProgressStep) -> None:
        """Wait until a primary accepts writes and its standbys stream.

        Raises:
            EsqError: the condition is not met within `RESTORE_TIMEOUT_SECONDS`.
        """
        pods = KubernetesPodClient(self.target.kubeconfig, DATA_NAMESPACE)
        summary = ""

        def healthy() -> bool | None:
            nonlocal summary
            report = postgres_status.collect(pods)
            summary = report.summary
            step.set_status(summary)
            return report.healthy or None

        if wait_for(healthy, step, RESTORE_TIMEOUT_SECONDS) is None:
            raise EsqError(
                f"Postgres is not healthy after {RESTORE_TIMEOUT_SECONDS:g} s",
                location="statefulset esq-data/postgres",
                remedy="Check the logs of the Postgres pods, correct the problem, repeat the command.",
                detail=summary,
            )
        step.set_result(summary)
