"""In-place restore: sets the running database back to an earlier point in time.

The current state is saved first, by a backup taken after the services have stopped. To undo the restore,
restore that backup by its label. The recovery target is a ConfigMap that Postgres pods read when they have no
data. While it exists, nothing was written to the restored database, and an interrupted restore starts again
by deleting the database state. Once it is deleted, the restore is complete, and only the stopped services
remain to be started.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from kubernetes import client

from cli.actions import backup
from cli.actions.deployment_target import open_deployed_target
from cli.actions.health import wait_until_healthy
from infra.components import backup as names
from infra.components.backup.pod_programs import backup_selection
from infra.components.pod_client import KubernetesPodClient
from infra.components.postgres import status as postgres_status
from infra.errors import EsqError, UsageError
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
    from cli.environment import Environment
    from infra.progress import ProgressReporter, ProgressStep

RECOVERY_TARGET = "postgres-recovery-target"
"""Name of the ConfigMap; `infra.components.postgres.kubernetes` mounts it."""
POSTGRES = "postgres"
PATRONI_ENDPOINTS = (POSTGRES, "postgres-config", "postgres-sync", "postgres-failover")
"""Endpoints objects that hold Patroni's state."""
DELETION_TIMEOUT_SECONDS = 180.0
RESTORE_TIMEOUT_SECONDS = 3900.0


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

    def recovery_target(self) -> dict[str, str] | None:
        """Return the data of the recovery target ConfigMap; None when no restore is in progress."""
        config_map = get_or_none(
            lambda: self._core.read_namespaced_config_map(RECOVERY_TARGET, DATA_NAMESPACE)
        )
        return None if config_map is None else dict(config_map.data or {})

    def set_recovery_target(self, target: str, arguments: Sequence[str]) -> None:
        """Let the first Postgres member restore a backup instead of initialising a new database cluster.

        Args:
            target: `latest`, a time, or the label of a backup.
            arguments: arguments of pgBackRest.
        """
        metadata = client.V1ObjectMeta(name=RECOVERY_TARGET, labels={PART_OF_LABEL: PRODUCT})
        lines = "".join(f"{argument}\n" for argument in arguments)
        body = client.V1ConfigMap(metadata=metadata, data={"target": target, "arguments": lines})
        get_or_none(lambda: self._core.create_namespaced_config_map(DATA_NAMESPACE, body))

    def clear_recovery_target(self) -> None:
        """Delete the recovery target; the restore is complete."""
        get_or_none(lambda: self._core.delete_namespaced_config_map(RECOVERY_TARGET, DATA_NAMESPACE))

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


def restore_in_place(
    environment: Environment, recovery_target: str, progress: ProgressReporter
) -> dict[str, Any]:
    """Restore the running database in place.

    Args:
        environment: the environment.
        recovery_target: `latest`, a time, or the label of a backup.
        progress: reports steps.

    Returns:
        The recovery target, and the label of the backup that undoes the restore.

    Raises:
        UsageError: no backup can restore the recovery target, or a restore to another one is in progress.
        EsqError: a step failed; the same command resumes.
    """
    target = open_deployed_target(environment, progress)
    operations, started = RestoreOperations(target), time.monotonic()
    current = operations.recovery_target()
    if current is not None and current.get("target") != recovery_target:
        raise UsageError(
            f"an interrupted restore to `{current.get('target')}` has to be completed first",
            location=f"configmap {DATA_NAMESPACE}/{RECOVERY_TARGET}",
            remedy=f"Repeat it first: `--target {current.get('target')} --in-place`.",
        )
    undo = None
    if current is None:
        plan = backup.select_backup(target, recovery_target)
        undo = _stop_and_back_up(operations, progress)
        if recovery_target == backup_selection.LATEST:
            # The backup that was just created is the latest state, newer than the listed ones.
            plan = backup_selection.RestorePlan(None, ("--repo=1", "--type=default"))
        operations.set_recovery_target(recovery_target, plan.arguments)
    _restore_and_restart(operations, progress)
    return {"target": recovery_target, "undo": undo, "seconds": round(time.monotonic() - started, 1)}


def _stop_and_back_up(operations: RestoreOperations, progress: ProgressReporter) -> str | None:
    """Stop everything that writes, and create a backup; return its label."""
    with progress.step("stop the services") as step:
        operations.stop_services()
        operations.wait_for_deletion(step, "pods", lambda: operations.running_pods(SERVICES_NAMESPACE))
    with progress.step("back up the current state") as step:
        result = backup.run_backup_job(operations.target, step, full=False)
        label = result["backups"][-1]["label"] if result["backups"] else None
        step.set_result(f"undo with `--target {label}`")
    return label


def _restore_and_restart(operations: RestoreOperations, progress: ProgressReporter) -> None:
    with progress.step("stop Postgres and delete its volumes") as step:
        operations.scale_postgres(0)
        operations.wait_for_deletion(step, "pods", lambda: operations.running_pods(DATA_NAMESPACE, POSTGRES))
        operations.delete_database_state(step)
    with progress.step("restore") as step:
        operations.scale_postgres(STATEFUL_REPLICAS)
        operations.wait_for_postgres(step)
        operations.clear_recovery_target()
    with progress.step("start the services") as step:
        operations.start_services()
        health = wait_until_healthy(operations.target.environment, operations.target, step)
        step.set_result(health.summary)
    # The new timeline has no full backup yet, and without one nothing of it can be restored.
    with progress.step("full backup") as step:
        backup.run_backup_job(operations.target, step, full=True)
