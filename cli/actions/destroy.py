"""Deletion of an environment, last layer first."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.actions.deploy import open_engine, summarize
from cli.actions.deployment_target import CONTROL_TOOLS, DeploymentTarget, open_target
from cli.environment_check import require_unoccupied
from cli.environment_lock import hold_environment
from cli.environment_store import EnvironmentStore
from infra.cluster_identity import deployed_environment
from infra.environment_record import NO_CLUSTER, OFFSITE_STORE
from infra.errors import EsqError
from infra.stack_settings import Layer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.engine_results import StackResult
    from cli.environment import Environment
    from cli.pulumi_engine import PulumiEngine
    from infra.progress import ProgressReporter


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

    Raises:
        UsageError: the cluster holds an environment that the backend does not know.
        EsqError: a layer could not be deleted, or stacks are left; the environment's folder is kept.
    """
    with hold_environment(environment, "destroy") as lock:
        target = open_target(environment, progress)
        results: list[StackResult] = []
        if not purge or target.cluster is None or not environment.has_local_backend:
            target.tools.ensure(CONTROL_TOOLS, progress)
            engine = open_engine(
                target, lock, progress, may_change=(OFFSITE_STORE, NO_CLUSTER), during_restore=True
            ).engine
            if not engine.workspace.layers():
                require_unoccupied(target.current_record, deployed_environment(target.kubeconfig))
            if leaves_backups(environment, layers, purge=purge, keep_backups=keep_backups):
                _forget_cluster(engine, progress)
            results = _destroy_layers(engine, layers, progress)
            if purge and not keep_backups:
                _remove_credentials(engine, progress)
        if purge:
            _remove_cluster(target, progress, keep_backups=keep_backups)
        return results


def leaves_backups(
    environment: Environment, layers: Sequence[Layer], *, purge: bool, keep_backups: bool
) -> bool:
    """Return whether a destroy deletes the database and leaves its backups, with the keys to read them.

    Args:
        environment: the environment.
        layers: the deleted layers.
        purge: see `destroy`.
        keep_backups: see `destroy`.
    """
    stays = keep_backups or (not purge and environment.definition.offsite_store is not None)
    return stays and Layer.DATA in layers


def _forget_cluster(engine: PulumiEngine, progress: ProgressReporter) -> None:
    """Let no deploy create an empty database over the backups that are kept."""
    store = EnvironmentStore(engine)
    stored = store.read()
    if stored is None or stored.record is None:
        return
    record = stored.record.model_copy(update={"cluster_uid": ""})
    with progress.step("save record without a cluster") as step:
        store.save(stored.model_copy(update={"record": record}), expected=stored, step=step)
    engine.environment.save_record(record)


def _destroy_layers(
    engine: PulumiEngine, layers: Sequence[Layer], progress: ProgressReporter
) -> list[StackResult]:
    results = []
    for layer in reversed(layers):
        with progress.step(f"delete {layer}") as step:
            result = engine.destroy(layer, step)
            results.append(result)
            step.set_result(summarize(result))
    return results


def _remove_credentials(engine: PulumiEngine, progress: ProgressReporter) -> None:
    """Delete the credentials: last, and only with everything that needs them."""
    with progress.step("delete the credentials") as step:
        EnvironmentStore(engine).remove(step)
    if left := engine.workspace.layers():
        name = engine.environment.name
        raise EsqError(
            f"`{name}` still has stacks: {', '.join(sorted(left))}",
            location=engine.environment.backend,
            remedy=f"Its folder is kept, with their key. Repeat the command: `esq destroy {name}`.",
        )


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
