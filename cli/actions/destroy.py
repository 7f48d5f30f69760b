"""Taking an environment away, last layer first."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from cli.actions.deploy import summary
from cli.actions.ground import CONTROL_TOOLS, Ground, look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.engine import Outcome
    from cli.environment import Environment
    from infra.config import Layer
    from infra.progress import ProgressReporter


def destroy(
    environment: Environment,
    layers: Sequence[Layer],
    steps: ProgressReporter,
    *,
    whole: bool,
    keep_backups: bool = False,
) -> list[Outcome]:
    """Remove `layers` with their data; with `whole` the zones and the environment's folder too.

    With `keep_backups` the vault stays, and the folder with the keys that its content is encrypted with.

    Zones that go away take everything in them along, so that their layers need not be emptied first: a
    cluster that is broken can be destroyed as well. Only stacks that are kept elsewhere have to be told.
    """
    ground = look(environment, steps)
    if whole and ground.cluster is not None and environment.keeps_its_stacks:
        _take_zones(ground, steps, keep_backups=keep_backups)
        return []
    ground.tools.ensure(CONTROL_TOOLS, steps)
    engine, outcomes = ground.engine(), []
    for layer in reversed(layers):
        with steps.step(f"remove {layer}") as step:
            outcomes.append(outcome := engine.destroy(layer, step))
            step.set_result(summary(outcome))
    if whole:
        _take_zones(ground, steps, keep_backups=keep_backups)
    return outcomes


def _take_zones(ground: Ground, steps: ProgressReporter, *, keep_backups: bool) -> None:
    if ground.cluster is not None:
        with steps.step("zones"):
            ground.cluster.down(steps, purge=True)
    if keep_backups:
        return
    shutil.rmtree(ground.environment.vault, ignore_errors=True)
    # Last what is known of it: a destroy that is cut off can be repeated.
    shutil.rmtree(ground.environment.folder, ignore_errors=True)
