"""From nothing to a working platform, as a list of steps that can each be repeated.

A step that finds its work done takes next to no time; one that fails names itself, and the same command goes
on from there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from cli.actions import settings as keeping
from cli.actions.ground import Ground, stand
from cli.actions.health import Health, wait_until_well
from infra.config import IMAGES, Layer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cli.engine import Engine, Outcome
    from cli.environment import Environment
    from infra.config import StackSettings
    from infra.progress import ProgressStep, ProgressReporter


@dataclass
class Deployed:
    """What a deploy came to.

    Attributes:
        ground: the cluster it stands on.
        outcomes: by layer, in order.
        health: what was checked at the end; None when only some layers were deployed.
    """

    ground: Ground
    outcomes: list[Outcome] = field(default_factory=list)
    health: Health | None = None

    def report(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "healthy": self.health is None or self.health.healthy,
            "layers": [outcome.report() for outcome in self.outcomes],
            "address": self.ground.address,
            "kubeconfig": str(self.ground.kubeconfig),
        }


def program(settings: StackSettings) -> Callable[[], None]:
    """Return the program of a layer with its settings filled in."""
    import importlib  # noqa: PLC0415 - a layer's program imports the whole SDK

    return partial(importlib.import_module(f"stacks.layers.{settings.layer}").program, settings)


def images(ground: Ground, layers: Sequence[Layer], steps: ProgressReporter) -> dict[str, str]:
    """Return the images by name, built and pushed where that is ours to do."""
    if not any(IMAGES[layer] for layer in layers):
        return {}
    with steps.step("images") as step:
        found = ground.push_images(steps)
        step.set_result(f"{len(found)} by digest")
    return found


def configured(
    environment: Environment, engine: Engine, ground: Ground, layers: Sequence[Layer], steps: ProgressReporter
) -> list[StackSettings]:
    """Return the settings of each layer, with images and the environment's credentials."""
    pushed = images(ground, layers, steps)
    with steps.step("settings and credentials") as step:
        found = keeping.load(environment, engine, pushed, layers, ground.vault)
        step.set_result(found.told)
    return found.settings


def preview(environment: Environment, layers: Sequence[Layer], steps: ProgressReporter) -> list[Outcome]:
    """Say what a deploy would change; cluster and images are made, for nothing can be said without."""
    ground = stand(environment, steps)
    engine = ground.engine()
    return previewed(engine, configured(environment, engine, ground, layers, steps), steps)


def previewed(engine: Engine, settings: Sequence[StackSettings], steps: ProgressReporter) -> list[Outcome]:
    """Run the layers' programs without doing anything."""
    outcomes = []
    for each in settings:
        with steps.step(f"preview {each.layer}") as step:
            outcomes.append(outcome := engine.preview(each.layer, program(each), step))
            step.set_result(summary(outcome))
    return outcomes


def deploy(
    environment: Environment,
    layers: Sequence[Layer],
    steps: ProgressReporter,
    confirm: Callable[[Sequence[Outcome]], None] | None = None,
) -> Deployed:
    """Bring `layers` to what this version describes.

    Args:
        environment: where.
        layers: which, in order.
        steps: told as they begin and end.
        confirm: asked with the preview before anything is changed; raises to stop. None: do not preview.

    Raises:
        EsqError: a step failed; what was reached stays.
    """
    done = Deployed(stand(environment, steps))
    engine = done.ground.engine()
    settings = configured(environment, engine, done.ground, layers, steps)
    introduce(done.ground, settings)
    if confirm is not None:
        confirm(previewed(engine, settings, steps))
    done.outcomes += [bring(engine, each, steps) for each in settings]
    if Layer.SERVICES in layers:
        with steps.step("checks") as step:
            done.health = wait_until_well(environment, done.ground, step)
            step.set_result(done.health.summary)
    return done


def bring(engine: Engine, settings: StackSettings, steps: ProgressReporter) -> Outcome:
    """Bring one layer to what its program declares, as a step of its own."""
    with steps.step(f"layer {settings.layer}") as step:
        return raised(engine, settings, step)


def raised(engine: Engine, settings: StackSettings, step: ProgressStep) -> Outcome:
    """Bring one layer to what its program declares."""
    keeping.keep(engine, settings)
    outcome = engine.up(settings.layer, program(settings), step)
    step.set_result(summary(outcome))
    return outcome


def introduce(ground: Ground, settings: Sequence[StackSettings]) -> None:
    """Let the edge trust the services' certificates, which the environment's own authority signs."""
    if ground.cluster is not None:
        for authority in {each.secrets.authority.certificate for each in settings if each.credentials}:
            ground.cluster.trust(authority)


def summary(outcome: Outcome) -> str:
    """Say in a few words what a run changed."""
    counts = {op: count for op, count in outcome.counts.items() if op != "same" and count}
    told = ", ".join(f"{count} {op}" for op, count in sorted(counts.items())) or "nothing to change"
    return f"{told}; {outcome.recovered}" if outcome.recovered else told
