"""Deletion of an environment, last layer first."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.actions.deploy import open_engine, summarize
from cli.actions.deployment_target import CONTROL_TOOLS, DeploymentTarget, open_target
from cli.environment_lock import hold_environment
from cli.environment_store import EnvironmentStore
from infra.environment_record import OFFSITE_STORE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.engine_results import StackResult
    from cli.environment import Environment
    from cli.environment_lock import EnvironmentLock
    from infra.progress import ProgressReporter
    from infra.stack_settings import Layer


@dataclass(frozen=True)
class DestroyPreview:
    """What a destroy would delete.

    Attributes:
        layers: resources by layer, last layer first.
        everything_else: what is deleted besides resources, in words.
    """

    layers: list[StackResult]
    everything_else: list[str]


def preview_destroy(
    environment: Environment,
    layers: Sequence[Layer],
    progress: ProgressReporter,
    *,
    purge: bool,
    keep_backups: bool = False,
) -> DestroyPreview:
    """Return what `destroy` would delete; starts and deletes nothing.

    Args:
        environment: see `destroy`.
        layers: see `destroy`.
        progress: see `destroy`.
        purge: see `destroy`.
        keep_backups: see `destroy`.
    """
    target = open_target(environment, progress)
    target.tools.ensure(CONTROL_TOOLS, progress)
    engine, results = target.engine(), []
    for layer in reversed(layers):
        with progress.step(f"preview {layer}") as step:
            results.append(engine.preview_destroy(layer, step))
    return DestroyPreview(results, _purged(target, keep_backups=keep_backups) if purge else [])


def _purged(target: DeploymentTarget, *, keep_backups: bool) -> list[str]:
    environment = target.environment
    cluster = f"the embedded cluster `{environment.cluster}` with its volumes"
    return [
        *([cluster] if target.cluster is not None else []),
        *(
            []
            if keep_backups
            else [
                "the credentials, without which no backup can be read",
                *([f"off-site backups: {environment.offsite_store_dir}"] if target.cluster else []),
                f"state on this machine: {environment.folder}",
            ]
        ),
    ]


def destroy(
    environment: Environment,
    layers: Sequence[Layer],
    progress: ProgressReporter,
    *,
    purge: bool,
    keep_backups: bool = False,
) -> list[StackResult]:
    """Delete layers with their data.

    Deleting the local cluster deletes everything in it, so that its layers are not deleted one by one, and a
    broken cluster can be deleted too. Only stacks in a remote backend are destroyed first.

    Args:
        environment: the environment.
        layers: the layers, in deployment order.
        progress: reports steps.
        purge: whether the local cluster and the environment's folder are deleted too.
        keep_backups: whether the off-site store and the folder with the keys of its contents are kept.

    Returns:
        The deleted resources by layer, last layer first; empty if the whole local cluster was deleted.
    """
    with hold_environment(environment, "destroy") as lock:
        target = open_target(environment, progress)
        results: list[StackResult] = []
        if not purge or target.cluster is None or not environment.has_local_backend:
            target.tools.ensure(CONTROL_TOOLS, progress)
            keep_credentials = not purge or keep_backups
            results = _destroy_layers(target, layers, lock, progress, keep_credentials=keep_credentials)
        if purge:
            _remove_cluster(target, progress, keep_backups=keep_backups)
        return results


def _destroy_layers(
    target: DeploymentTarget,
    layers: Sequence[Layer],
    lock: EnvironmentLock,
    progress: ProgressReporter,
    *,
    keep_credentials: bool,
) -> list[StackResult]:
    """Delete the layers; the credentials go last, and only with everything that needs them."""
    engine = open_engine(target, lock, progress, may_change=OFFSITE_STORE, during_restore=True)
    results: list[StackResult] = []
    for layer in reversed(layers):
        with progress.step(f"delete {layer}") as step:
            result = engine.destroy(layer, step)
            results.append(result)
            step.set_result(summarize(result))
    if not keep_credentials:
        with progress.step("delete the credentials") as step:
            EnvironmentStore(engine).remove(step)
    return results


def _remove_cluster(target: DeploymentTarget, progress: ProgressReporter, *, keep_backups: bool) -> None:
    if target.cluster is not None:
        with progress.step("zones"):
            target.cluster.down(progress, purge=True)
    if keep_backups:
        return
    if target.cluster is not None:
        # Without an embedded cluster, a store of this name is that of another environment.
        shutil.rmtree(target.environment.offsite_store_dir, ignore_errors=True)
    # The environment's folder goes last: an interrupted destroy can be repeated.
    shutil.rmtree(target.environment.folder, ignore_errors=True)
