"""Recovery of a lost environment: cluster, data from the off-site store, services, messages in flight.

The off-site store and the environment's folder, which holds the keys, must have survived. Every step is
idempotent; an interrupted recovery resumes with the same command.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from cli.actions import deploy
from cli.actions.backup import verifier_report
from cli.actions.deployment_target import provision_target
from cli.actions.health import wait_until_healthy
from cli.actions.kubernetes_jobs import KubernetesJobs
from cli.actions.restore_operations import RestoreOperations
from cli.environment_lock import hold_environment
from cli.environment_store import EnvironmentStore
from infra.components import backup as names
from infra.components.backup.pod_programs import backup_selection
from infra.environment_record import CLUSTER, NO_CLUSTER
from infra.errors import EsqError, UsageError
from infra.names import DATA_NAMESPACE, SERVICES_NAMESPACE
from infra.stack_settings import Layer

if TYPE_CHECKING:
    from cli.actions.deployment_target import DeploymentTarget
    from cli.actions.stack_config import LoadedSettings
    from cli.environment import Environment
    from cli.pulumi_engine import PulumiEngine
    from infra.progress import ProgressReporter, ProgressStep

JOB_TIMEOUT_SECONDS = 1800.0
_LAYERS = (Layer.CLUSTER, Layer.DATA, Layer.SERVICES)
REPUBLISH_JOB = "republish-requests"
"""Job template of the services layer."""


def recover_environment(
    environment: Environment, recovery_target: str, progress: ProgressReporter
) -> dict[str, Any]:
    """Recover a lost environment from its off-site store.

    Args:
        environment: the environment.
        recovery_target: `latest` or a time.
        progress: reports steps.

    Returns:
        The deployed layers, the restored state and the total time in seconds.

    Raises:
        UsageError: there is no off-site store, a database runs, or the recovery target is invalid.
        EsqError: the keys are lost, or a step failed; the same command resumes.
    """
    started = time.monotonic()
    try:
        arguments = backup_selection.plan_offsite_restore(recovery_target).arguments
    except ValueError as error:
        raise UsageError(
            f"`{recovery_target}` is not a time: {error}",
            location="--target",
            remedy="E.g. 2026-01-31T12:00:00Z.",
        ) from error
    with hold_environment(environment, "recover") as lock:
        target = provision_target(environment, progress)
        engine = deploy.open_engine(target, lock, progress, may_change=(CLUSTER, NO_CLUSTER)).engine
        # Fails here when the keys are lost: without them the backups cannot be decrypted.
        stored = EnvironmentStore(engine).require()
        if target.offsite_store(stored.credentials.offsite_store) is None:
            raise UsageError(
                f"`{environment.name}` has no off-site store",
                location="offsite_store",
                remedy=f"Restore with `esq backup restore {environment.name} --target TARGET`.",
            )
        # The observability layer is deployed anew: nothing of it is restored.
        images = deploy.push_images(target, _LAYERS, progress)
        loaded = deploy.load_layer_settings(engine, stored, target, images, _LAYERS, progress)
        deploy.trust_services_ca(target, loaded.settings)
        return _run_steps(target, engine, loaded, recovery_target, arguments, progress) | {
            "seconds": round(time.monotonic() - started, 1)
        }


def _run_steps(  # noqa: PLR0913, PLR0917 - everything that the steps need
    target: DeploymentTarget,
    engine: PulumiEngine,
    loaded: LoadedSettings,
    recovery_target: str,
    arguments: tuple[str, ...],
    progress: ProgressReporter,
) -> dict[str, Any]:
    operations = RestoreOperations(target)
    settings = {layer_settings.layer: layer_settings for layer_settings in loaded.settings}
    results = [deploy.deploy_layer(engine, settings[Layer.CLUSTER], progress)]
    if operations.recovery_target() is None:
        _require_no_database(operations)
        operations.set_recovery_target(recovery_target, arguments)
    # Not earlier: in a recorded cluster without the recovery target, a deploy would create an empty database.
    deploy.save_environment(engine, loaded, progress)
    with progress.step("restore the database") as step:
        results.append(deploy.up_layer(engine, settings[Layer.DATA], step))
        operations.wait_for_postgres(step)
        operations.clear_recovery_target()
    with progress.step("restore the media") as step:
        media = _run_job(KubernetesJobs(target.kubeconfig, DATA_NAMESPACE), names.MEDIA_RESTORE, step)
        step.set_result(f"{media['objects']} objects")
    results.append(deploy.deploy_layer(engine, settings[Layer.SERVICES], progress))
    with progress.step("republish message requests") as step:
        republished = _run_job(KubernetesJobs(target.kubeconfig, SERVICES_NAMESPACE), REPUBLISH_JOB, step)
        step.set_result(f"{republished['republished']} messages")
    with progress.step("health checks") as step:
        health = wait_until_healthy(target.environment, target, step)
        step.set_result(health.summary)
    return {
        "target": recovery_target,
        "restored_until": verifier_report(target).restored_until,
        "media_objects": media["objects"],
        "republished": republished["republished"],
        "healthy": health.healthy,
        "layers": [result.to_dict() for result in results],
    }


def _require_no_database(operations: RestoreOperations) -> None:
    pods = operations.running_pods(DATA_NAMESPACE, "postgres")
    if pods:
        env = operations.target.environment.name
        raise UsageError(
            f"`{env}` is not lost: {', '.join(pods)} run",
            location="esq recover",
            remedy=f"To restore an earlier state: `esq backup restore {env} --target TIME --in-place`.",
        )


def _run_job(jobs: KubernetesJobs, template: str, step: ProgressStep) -> dict[str, Any]:
    name = jobs.start(template)
    result = jobs.wait(name, step, JOB_TIMEOUT_SECONDS, remedy="Repeat the command; it resumes.")
    if not result["succeeded"]:
        raise EsqError(
            f"{template} failed",
            location=name,
            remedy="Repeat the command.",
            detail="\n".join(result["problems"]),
        )
    return result
