"""State of an environment's stacks: break a lock that was left, export, import."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

from kubernetes import client

from cli.actions import unchanged_deploy
from cli.actions.deployment_target import CONTROL_TOOLS, open_deployed_target
from cli.engine_results import EnvironmentLockedError
from cli.environment_lease import NAMESPACE, lease_name, read_lease, release_incomplete
from cli.environment_lock import hold_environment
from cli.lock_holder import LockHolder
from cli.pending_operations import resolve_pending_operations
from infra.errors import UsageError
from infra.kubernetes import api_client, get_or_none
from stacks import environment_stack

if TYPE_CHECKING:
    from pathlib import Path

    from cli.actions.deployment_target import DeploymentTarget
    from cli.environment import Environment
    from cli.pulumi_engine import PulumiEngine
    from infra.progress import ProgressReporter

FORMAT = "esq-state-1"
"""Identifies the format of an export."""


def export_state(environment: Environment, progress: ProgressReporter) -> dict[str, Any]:
    """Return the states of all stacks; secrets stay encrypted with the environment's key.

    Args:
        environment: the environment.
        progress: reports builds of tools.
    """
    engine = _open_engine(environment, progress)[1]
    layers = sorted(engine.workspace.layers())
    states = {layer: engine.workspace.export_state(layer) for layer in layers}
    return {"format": FORMAT, "environment": environment.name, "layers": states}


def import_state(environment: Environment, file: Path, progress: ProgressReporter) -> list[str]:
    """Replace the states of stacks by those of an export; creates missing stacks.

    Credentials are only imported when they are lost: those of an export may be older than a rotation.
    Operations that were pending are resolved by a look at the cluster; the engine would forget them.

    Args:
        environment: the environment.
        file: an export of the same environment.
        progress: reports steps.

    Returns:
        The names of the imported layers.

    Raises:
        ProblemsError: pending operations concern objects that are not ours.
        UsageError: the file is no export of this environment; nothing was changed.
        EsqError: another run uses the environment.
    """
    states = _parse_export(environment, file)
    with hold_environment(environment, "state import") as lock:
        target, engine = _open_engine(environment, progress)
        lock.hold_cluster(target.kubeconfig)
        unchanged_deploy.forget(environment)
        existing = engine.workspace.layers()
        if environment_stack.LAYER in existing:
            states.pop(environment_stack.LAYER, None)
        for layer, state in states.items():
            with progress.step(f"import {layer}") as step:
                outcome = resolve_pending_operations(state, target.kubeconfig)
                if layer not in existing:
                    stack = engine.workspace.stack(layer)
                    stack.workspace.create_stack(stack.name)
                engine.workspace.import_state(layer, state)
                resources = f"{len(state.get('resources') or [])} resources"
                step.set_result("; ".join(filter(None, (resources, outcome))))
    return list(states)


def unlock(environment: Environment, progress: ProgressReporter) -> list[str]:
    """Remove every lock of an environment that a run on another machine left.

    Args:
        environment: the environment.
        progress: reports builds of tools.

    Returns:
        What was removed.

    Raises:
        EsqError: a process of this machine holds the lock.
    """
    with hold_environment(environment, "state unlock") as lock:
        # Whoever held the locks has not completed its run.
        lock.incomplete = True
        target, engine = _open_engine(environment, progress)
        removed = _release_lease(target)
        for layer in sorted(engine.workspace.layers()):
            engine.workspace.stack(layer).cancel()
            removed.append(f"locks of stack {engine.workspace.stack_name(layer)}")
    return removed


def find_lock_holder(environment: Environment, progress: ProgressReporter) -> str:
    """Return who holds the environment's Lease, and since when; empty when nobody does.

    Args:
        environment: the environment.
        progress: reports builds of tools.
    """
    target = open_deployed_target(environment, progress)
    with closing(api_client(target.kubeconfig)) as api:
        lease = read_lease(client.CoordinationV1Api(api), environment.name)
    if lease is None or not lease.spec.holder_identity:
        return ""
    holder = LockHolder.parse(lease.spec.holder_identity) or lease.spec.holder_identity
    return f"{holder}, last renewed {lease.spec.renew_time:%Y-%m-%d %H:%M:%SZ}"


def _release_lease(target: DeploymentTarget) -> list[str]:
    environment = target.environment.name
    with closing(api_client(target.kubeconfig)) as api:
        coordination = client.CoordinationV1Api(api)
        lease = read_lease(coordination, environment)
        if lease is None or not lease.spec.holder_identity:
            return []
        holder = LockHolder.parse(lease.spec.holder_identity)
        if holder is not None and holder.is_alive:
            raise EnvironmentLockedError(
                f"a run of this machine uses `{environment}`: {holder}",
                location=f"Lease {NAMESPACE}/{lease_name(environment)}",
                remedy="Wait until it ends, or end it; then repeat the command.",
            )
        get_or_none(lambda: release_incomplete(coordination, lease))
    return [f"Lease {NAMESPACE}/{lease_name(environment)}"]


def _open_engine(
    environment: Environment, progress: ProgressReporter
) -> tuple[DeploymentTarget, PulumiEngine]:
    target = open_deployed_target(environment, progress, use_copy=False)
    target.tools.ensure(CONTROL_TOOLS, progress)
    return target, target.engine()


def _parse_export(environment: Environment, file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the file cannot be read: {error}", location=str(file), remedy="Name an export."
        ) from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise UsageError(
            "this is no export of a state",
            location=str(file),
            remedy=f"Name a file that `esq state export {environment.name}` wrote.",
        )
    if document["environment"] != environment.name:
        raise UsageError(
            f"this is the state of `{document['environment']}`, not of `{environment.name}`",
            location=str(file),
            remedy="Name an export of the same environment.",
        )
    return dict(document["layers"])
