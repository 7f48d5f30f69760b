"""Deletion of an environment, last layer first."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from cli.actions.deploy import summarize
from cli.actions.deployment_target import CONTROL_TOOLS, DeploymentTarget, open_target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.environment import Environment
    from cli.pulumi_engine import StackResult
    from infra.progress import ProgressReporter
    from infra.stack_settings import Layer


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
    target = open_target(environment, progress)
    if purge and target.cluster is not None and environment.has_local_backend:
        _remove_cluster(target, progress, keep_backups=keep_backups)
        return []
    target.tools.ensure(CONTROL_TOOLS, progress)
    engine, results = target.engine(), []
    for layer in reversed(layers):
        with progress.step(f"delete {layer}") as step:
            result = engine.destroy(layer, step)
            results.append(result)
            step.set_result(summarize(result))
    if purge:
        _remove_cluster(target, progress, keep_backups=keep_backups)
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
