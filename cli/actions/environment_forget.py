"""Forget an environment whose cluster is gone for good: delete its stacks, credentials and folder."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from cli.actions.deployment_target import CONTROL_TOOLS, open_target
from cli.environment_lock import hold_environment
from infra.errors import EsqError, UsageError

if TYPE_CHECKING:
    from cli.actions.deployment_target import DeploymentTarget
    from cli.environment import Environment
    from infra.progress import ProgressReporter


def forget(environment: Environment, confirmed_name: str | None, progress: ProgressReporter) -> list[str]:
    """Delete what esq keeps of an environment; nothing in a cluster is deleted.

    Args:
        environment: the environment.
        confirmed_name: its name, as confirmation; None if it was not given.
        progress: reports steps.

    Returns:
        The deleted layers.

    Raises:
        UsageError: its cluster is still there, or the name does not confirm it; nothing was deleted.
    """
    name = environment.name
    with hold_environment(environment, "env forget"):
        target = open_target(environment, progress)
        _require_lost(target)
        target.tools.ensure(CONTROL_TOOLS, progress)
        workspace = target.engine().workspace
        layers = sorted(workspace.layers())
        if confirmed_name != name:
            raise UsageError(
                f"to forget `{name}` requires confirmation",
                location="--confirm",
                remedy=f"Its backups cannot be read without the credentials: `esq credentials export {name}` "
                f"first. Then: `esq env forget {name} --confirm {name}`.",
                detail=f"deleted will be the stacks {', '.join(layers) or 'none'} and {environment.folder}",
            )
        for layer in layers:
            with progress.step(f"forget {layer}"):
                stack = workspace.stack(layer)
                stack.workspace.remove_stack(stack.name, force=True)
        shutil.rmtree(environment.folder, ignore_errors=True)
    return layers


def _require_lost(target: DeploymentTarget) -> None:
    """Require that the recorded cluster does not answer, or that another one answers in its place."""
    environment = target.environment
    record = environment.load_record()
    try:
        live_uid = target.current_record.cluster_uid
    except EsqError:
        live_uid = ""
    is_lost = not live_uid or (record is not None and record.cluster_uid not in {"", live_uid})
    if target.cluster is not None or not is_lost:
        raise UsageError(
            f"the cluster of `{environment.name}` is not lost",
            location=str(target.kubeconfig),
            remedy=f"Delete the environment with its objects: `esq destroy {environment.name}`.",
        )
