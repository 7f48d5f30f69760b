"""Comparing the cluster with what was deployed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.actions.ground import look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.environment import Environment
    from cli.events import Change
    from infra.config import Layer
    from infra.progress import ProgressReporter


def drift(
    environment: Environment, layers: Sequence[Layer], steps: ProgressReporter
) -> list[tuple[str, Change]]:
    """Return what differs, by layer; nothing is changed."""
    engine = look(environment, steps).engine()
    found: list[tuple[str, Change]] = []
    for layer in layers:
        with steps.step(f"compare {layer}") as step:
            outcome = engine.drift(layer, step)
            found += [(layer.value, change) for change in outcome.changes]
            step.set_result(f"{len(outcome.changes)} differ" if outcome.changes else "as deployed")
    return found
