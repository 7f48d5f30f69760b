"""Comparison of the cluster with the deployed state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.actions.deployment_target import open_deployed_target
from infra.stack_settings import Layer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.environment import Environment
    from cli.pulumi_events import ResourceChange
    from infra.progress import ProgressReporter


def detect_drift(
    environment: Environment, layers: Sequence[Layer] | None, progress: ProgressReporter
) -> list[tuple[str, ResourceChange]]:
    """Return the differences by layer; changes nothing.

    Args:
        environment: the environment.
        layers: the layers to compare; None for those of the environment and others that are deployed.
        progress: reports one step per layer.
    """
    engine = open_deployed_target(environment, progress).engine()
    changes: list[tuple[str, ResourceChange]] = []
    if layers is None:
        deployed = engine.workspace.layers()
        layers = [layer for layer in Layer if layer in environment.layers or layer in deployed]
    for layer in layers:
        with progress.step(f"compare {layer}") as step:
            result = engine.drift(layer, step)
            changes += [(layer.value, change) for change in result.changes]
            step.set_result(f"{len(result.changes)} differ" if result.changes else "no drift")
    return changes
