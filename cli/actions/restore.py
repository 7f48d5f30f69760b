"""In-place restore: sets the running database back to an earlier point in time.

The current state is saved first, by a backup taken after the services have stopped. To undo the restore,
restore that backup by its label. The request is stored in the cluster before anything stops, with the phase
to resume with, so that the same command continues an interrupted restore. As long as the database is
unchanged, a failure starts the services again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from cli.actions import backup
from cli.actions.deployment_target import open_deployed_target
from cli.actions.health import wait_until_healthy
from cli.actions.restore_operations import POSTGRES, REQUEST, Phase, RestoreOperations, RestoreRequest
from cli.environment_lock import hold_environment
from infra.components.backup.pod_programs import backup_selection
from infra.errors import EsqError, UsageError
from infra.names import DATA_NAMESPACE, SERVICES_NAMESPACE, STATEFUL_REPLICAS

if TYPE_CHECKING:
    from cli.environment import Environment
    from infra.progress import ProgressReporter, ProgressStep


class NothingRestoredError(EsqError):
    """The restore failed before it changed the database, and the services were started again."""


def restore_in_place(
    environment: Environment, recovery_target: str, progress: ProgressReporter
) -> dict[str, Any]:
    """Restore the running database in place, or continue an interrupted restore.

    Args:
        environment: the environment.
        recovery_target: `latest`, a time, or the label of a backup.
        progress: reports steps.

    Returns:
        The recovery target, and the label of the backup that undoes the restore.

    Raises:
        EnvironmentLockedError: another run uses the environment.
        UsageError: no backup can restore the recovery target, or a restore to another one is in progress.
        NothingRestoredError: nothing was changed.
        EsqError: a step failed; the same command resumes.
    """
    with hold_environment(environment, "backup restore") as lock:
        target = open_deployed_target(environment, progress, use_copy=False)
        lock.hold_cluster(target.kubeconfig)
        return _restore(RestoreOperations(target), recovery_target, progress)


def _restore(
    operations: RestoreOperations, recovery_target: str, progress: ProgressReporter
) -> dict[str, Any]:
    started, name = time.monotonic(), operations.target.environment.name
    request = operations.request()
    if request is None:
        request = _new_request(operations, recovery_target)
    elif request.target != recovery_target:
        raise UsageError(
            f"an interrupted restore to `{request.target}` has to be completed first",
            location=f"configmap {DATA_NAMESPACE}/{REQUEST}",
            remedy=f"Resume it: `{request.command(name)}`.",
        )
    try:
        request = _run(operations, request, progress)
    except NothingRestoredError:
        raise
    except EsqError as error:
        resume = request.command(name)
        raise EsqError.caused_by(
            error,
            "the restore is not complete",
            remedy=f"{error.remedy} The services may be stopped until it is complete; to resume: `{resume}`.",
        ) from error
    return {
        "target": request.target,
        "undo": request.undo,
        "seconds": round(time.monotonic() - started, 1),
    }


def _new_request(operations: RestoreOperations, recovery_target: str) -> RestoreRequest:
    """Choose the backup while the verifier, which knows the backups, still runs."""
    arguments = backup.select_backup(operations.target, recovery_target).arguments
    if recovery_target == backup_selection.LATEST:
        # The backup that is created first will be the latest state, newer than the listed ones.
        arguments = ("--repo=1", "--type=default")
    return RestoreRequest(target=recovery_target, arguments=arguments)


def _run(
    operations: RestoreOperations, request: RestoreRequest, progress: ProgressReporter
) -> RestoreRequest:
    """Run the phases that are not complete."""
    if request.phase is Phase.BACK_UP:
        operations.save_request(request)
        undo = _stop_and_back_up(operations, progress)
        request = request.model_copy(update={"phase": Phase.RESTORE, "undo": undo})
        operations.save_request(request)
    if request.phase is Phase.RESTORE:
        _replace_database(operations, request, progress)
        request = request.model_copy(update={"phase": Phase.START})
        operations.save_request(request)
    _start(operations, progress)
    operations.delete_request()
    return request


def _stop_and_back_up(operations: RestoreOperations, progress: ProgressReporter) -> str | None:
    """Stop everything that writes, and create a backup; return its label."""
    try:
        with progress.step("stop the services") as step:
            _stop_services(operations, step)
        with progress.step("back up the current state") as step:
            result = backup.run_backup_job(operations.target, step, full=False)
            label = result["backups"][-1]["label"] if result["backups"] else None
            step.set_result(f"undo with `--target {label}`")
    except BaseException as error:
        with progress.step("start the services again"):
            operations.start_services()
            operations.delete_request()
        if isinstance(error, EsqError):
            raise NothingRestoredError.caused_by(
                error,
                "nothing was restored",
                remedy=f"The services were started again. {error.remedy} Then repeat the command.",
            ) from error
        raise
    return label


def _stop_services(operations: RestoreOperations, step: ProgressStep) -> None:
    operations.stop_services()
    operations.wait_for_deletion(step, "pods", lambda: operations.running_pods(SERVICES_NAMESPACE))


def _replace_database(
    operations: RestoreOperations, request: RestoreRequest, progress: ProgressReporter
) -> None:
    operations.set_recovery_target(request.target, request.arguments)
    with progress.step("stop Postgres and delete its volumes") as step:
        # Also when resumed: something may have started the services since.
        _stop_services(operations, step)
        operations.scale_postgres(0)
        operations.wait_for_deletion(step, "pods", lambda: operations.running_pods(DATA_NAMESPACE, POSTGRES))
        operations.delete_database_state(step)
    with progress.step("restore") as step:
        operations.scale_postgres(STATEFUL_REPLICAS)
        operations.wait_for_postgres(step)
        operations.clear_recovery_target()


def _start(operations: RestoreOperations, progress: ProgressReporter) -> None:
    with progress.step("start the services") as step:
        operations.start_services()
        health = wait_until_healthy(operations.target.environment, operations.target, step)
        step.set_result(health.summary)
    # The new timeline has no full backup yet, and without one nothing of it can be restored.
    with progress.step("full backup") as step:
        backup.run_backup_job(operations.target, step, full=True)
