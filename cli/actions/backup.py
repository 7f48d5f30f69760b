"""Backups on demand: create, list, verify, and restore to a clone beside the running database."""

from __future__ import annotations

import datetime as dt
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from cli.actions.deployment_target import open_deployed_target
from cli.actions.kubernetes_jobs import KubernetesJobs
from cli.actions.slo import record_measurement
from infra.components import backup as names
from infra.components.backup import status
from infra.components.backup.pod_programs import backup_selection
from infra.components.pod_client import KubernetesPodClient
from infra.errors import EsqError, UsageError
from infra.measurements.run_values import RunOutcome, RunValue
from infra.names import DATA_NAMESPACE, DATABASE, service_dns
from infra.waiting import wait_for

if TYPE_CHECKING:
    from cli.actions.deployment_target import DeploymentTarget
    from cli.environment import Environment
    from infra.components.backup.pod_programs.backup_selection import RestorePlan
    from infra.components.backup.status import VerifierReport
    from infra.progress import ProgressReporter, ProgressStep

BACKUP_TIMEOUT_SECONDS = 3900.0
DRILL_TIMEOUT_SECONDS = 7500.0
CLONE_TIMEOUT_SECONDS = 3900.0


def data_jobs(target: DeploymentTarget) -> KubernetesJobs:
    """Return the Jobs of the data layer."""
    return KubernetesJobs(target.kubeconfig, DATA_NAMESPACE)


def verifier_report(target: DeploymentTarget) -> VerifierReport:
    """Return the last report of the backup verifier.

    Raises:
        PodUnreachableError: the verifier is unreachable.
    """
    return status.read_report(KubernetesPodClient(target.kubeconfig, DATA_NAMESPACE))


def create_backup(environment: Environment, progress: ProgressReporter, *, full: bool) -> dict[str, Any]:
    """Create a backup in every repository, as a step.

    Args:
        environment: the environment.
        progress: reports steps.
        full: whether the backup is full instead of differential.

    Returns:
        The result of the backup program.

    Raises:
        EsqError: see `run_backup_job`.
    """
    target = open_deployed_target(environment, progress, use_copy=False)
    with progress.step("full backup" if full else "differential backup") as step:
        result = run_backup_job(target, step, full=full)
        sources = ", ".join(sorted(set(result["copied_from"].values())))
        step.set_result(f"{result['seconds']:g} s, copied from {sources}")
    return result


def run_backup_job(target: DeploymentTarget, step: ProgressStep, *, full: bool) -> dict[str, Any]:
    """Run the backup Job.

    Args:
        target: the deployment target.
        step: shows the status of the Job.
        full: whether the backup is full instead of differential.

    Returns:
        The result of the backup program.

    Raises:
        EsqError: the backup failed in a repository; the detail holds the errors of the program.
    """
    jobs, env = data_jobs(target), target.environment.name
    name = jobs.start(names.FULL if full else names.DIFFERENTIAL)
    result = jobs.wait(name, step, BACKUP_TIMEOUT_SECONDS, remedy=f"Repeat `esq backup create {env}`.")
    if not result["succeeded"]:
        raise EsqError(
            "the backup failed in at least one repository",
            location=f"job {DATA_NAMESPACE}/{name}",
            remedy="See runbooks/backup-stale.md.",
            detail="\n".join(f"- {problem}" for problem in result["problems"]),
        )
    return result


def run_drill(environment: Environment, progress: ProgressReporter) -> dict[str, Any]:
    """Run the restore drill.

    Args:
        environment: the environment.
        progress: reports steps.

    Returns:
        The result: verification, RPO and RTO in seconds, compared rows, versions.

    Raises:
        EsqError: the drill ended without a result.
    """
    target = open_deployed_target(environment, progress, use_copy=False)
    jobs = data_jobs(target)
    with progress.step("drill") as step:
        name = jobs.start(names.DRILL)
        remedy = f"Repeat `esq backup drill {environment.name}`."
        result = jobs.wait(name, step, DRILL_TIMEOUT_SECONDS, remedy=remedy)
        step.set_result("passed" if result["succeeded"] else f"{len(result['problems'])} problems")
    _record_drill(environment, result)
    return result


def _record_drill(environment: Environment, result: dict[str, Any]) -> None:
    """Record RPO and RTO of a drill; the figures of a failed one do not count."""
    command = f"esq backup drill {environment.name}"
    outcome = RunOutcome.VALID if result["succeeded"] else RunOutcome.INVALID
    for slo_id, key in (("backup-rpo", "rpo_seconds"), ("backup-rto", "rto_seconds")):
        run = RunValue(value=result.get(key)).from_run(outcome)
        record_measurement(environment, slo_id, [run], command, {"drill": result})


def list_backups(environment: Environment, progress: ProgressReporter) -> dict[str, Any]:
    """Return backups, the restorable range and the problems of the backups, as plain values.

    Args:
        environment: the environment.
        progress: reports steps.

    Raises:
        PodUnreachableError: the verifier is unreachable.
    """
    report = verifier_report(open_deployed_target(environment, progress))
    now = dt.datetime.now(dt.UTC)
    return {
        **report.model_dump(mode="json"),
        "restorable_from": min((backup.finished_at for backup in report.backups), default=None),
        "summary": status.summary(report, now),
        "problems": status.problems(report, now),
    }


def select_backup(target: DeploymentTarget, recovery_target: str) -> RestorePlan:
    """Plan a restore, before anything is changed.

    Args:
        target: the deployment target.
        recovery_target: `latest`, a time, or the label of a backup.

    Returns:
        The backup to restore and the arguments of pgBackRest.

    Raises:
        UsageError: no backup can restore the recovery target.
        PodUnreachableError: the verifier is unreachable, so that the backups are unknown.
    """
    try:
        report = verifier_report(target)
        plan = backup_selection.plan_restore(
            report.backups, recovery_target, timeline_start=report.timeline_start
        )
        if recovery_target != backup_selection.LATEST and "--type=time" in plan.arguments:
            _require_past(backup_selection.parse_time(recovery_target))
    except (backup_selection.NoUsableBackupError, ValueError) as error:
        env = target.environment.name
        raise UsageError(
            f"`{recovery_target}` cannot be restored: {error}",
            location="--target",
            remedy=f"Use `latest`, a time (2026-01-31T12:00:00Z), or a label of `esq backup list {env}`.",
        ) from error
    return plan


def _require_past(time_: dt.datetime) -> None:
    if time_ > dt.datetime.now(dt.UTC):
        raise ValueError("the time is in the future")


def restore_clone(
    environment: Environment, recovery_target: str, progress: ProgressReporter
) -> dict[str, Any]:
    """Restore to a clone: a second Postgres beside the running database.

    Args:
        environment: the environment.
        recovery_target: `latest`, a time, or the label of a backup.
        progress: reports steps.

    Returns:
        Address of the clone, and the backup that was used.

    Raises:
        UsageError: a clone exists already, or no backup can restore the recovery target.
        EsqError: the restore failed.
    """
    target = open_deployed_target(environment, progress, use_copy=False)
    jobs, started = data_jobs(target), time.monotonic()
    if jobs.latest_pod(names.RESTORED_CLONE) is not None:
        raise UsageError(
            "a restored clone exists already",
            location=f"job {DATA_NAMESPACE}/{names.RESTORED_CLONE}",
            remedy=f"Discard it: `esq backup discard-clone {environment.name}`.",
        )
    plan = select_backup(target, recovery_target)
    with progress.step(f"restore {recovery_target} to a clone") as step:
        jobs.start(names.RESTORED_CLONE, name=names.RESTORED_CLONE, args=plan.arguments)
        _wait_for_clone(jobs, step)
        step.set_result(f"from backup {plan.backup.label}" if plan.backup else "")
    return {
        "target": recovery_target,
        "backup": plan.backup.label if plan.backup else None,
        "repository": plan.backup.repository if plan.backup else None,
        "host": service_dns(names.RESTORED_CLONE, DATA_NAMESPACE),
        "database": DATABASE,
        "seconds": round(time.monotonic() - started, 1),
    }


def _wait_for_clone(jobs: KubernetesJobs, step: ProgressStep) -> None:
    if wait_for(partial(_clone_is_ready, jobs, step), step, CLONE_TIMEOUT_SECONDS) is None:
        raise EsqError(
            f"the restore did not end within {CLONE_TIMEOUT_SECONDS:g} s",
            location=f"job {DATA_NAMESPACE}/{names.RESTORED_CLONE}",
            remedy="Discard the clone and repeat the command.",
            detail=jobs.log(names.RESTORED_CLONE),
        )


def _clone_is_ready(jobs: KubernetesJobs, step: ProgressStep) -> bool | None:
    pod = jobs.latest_pod(names.RESTORED_CLONE)
    if pod is not None and any(container.ready for container in pod.status.container_statuses or []):
        return True
    if pod is not None and pod.status.phase == "Failed":
        result = jobs.result(names.RESTORED_CLONE) or {}
        problems = result.get("problems") or [jobs.log(names.RESTORED_CLONE)]
        jobs.delete(names.RESTORED_CLONE, step)
        raise EsqError(
            "the restore failed",
            location=f"job {DATA_NAMESPACE}/{names.RESTORED_CLONE}",
            remedy="Repeat the command, if needed with another `--target`.",
            detail="\n".join(problems),
        )
    step.set_status("the restored Postgres to replay its log" if pod else "its pod")
    return None


def discard_clone(environment: Environment, progress: ProgressReporter) -> bool:
    """Delete the restored clone.

    Args:
        environment: the environment.
        progress: reports steps.

    Returns:
        Whether there was a clone.
    """
    target = open_deployed_target(environment, progress, use_copy=False)
    with progress.step("delete the restored clone") as step:
        return data_jobs(target).delete(names.RESTORED_CLONE, step)
