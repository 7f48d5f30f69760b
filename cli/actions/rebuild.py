"""Rebuilding an environment that was lost: zones, data from the vault, services, and what was under way.

What must have survived is the vault and the environment's folder, which holds the keys. Every step can be
repeated; one that was cut off goes on when the same command is given again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from cli.actions import deploy
from cli.actions import settings as keeping
from cli.actions.backup import seen
from cli.actions.ground import stand
from cli.actions.health import wait_until_well
from cli.actions.jobs import Jobs
from cli.actions.restore import Platform
from infra.components import backup as names
from infra.components.backup.inside import selection
from infra.config import Layer
from infra.errors import EsqError, UsageError
from infra.names import DATA_NAMESPACE, SERVICES_NAMESPACE

if TYPE_CHECKING:
    from cli.actions.ground import Ground
    from cli.engine import Engine
    from cli.environment import Environment
    from infra.config import StackSettings
    from infra.progress import ProgressStep, ProgressReporter

JOB_SECONDS = 1800.0
REQUEST_AGAIN = "request-again"
"""Template of the services layer."""


def rebuild(environment: Environment, wish: str, steps: ProgressReporter) -> dict[str, Any]:
    """Bring the environment back from its vault.

    Args:
        environment: that was lost.
        wish: `latest` or a time.
        steps: told as they begin and end.

    Raises:
        UsageError: it has no vault, is there already, or `wish` is neither `latest` nor a time.
        EsqError: its keys are gone, or a step failed; the same command goes on from there.
    """
    begun = time.monotonic()
    try:
        arguments = selection.from_vault(wish).arguments
    except ValueError as error:
        raise UsageError(
            f"`{wish}` is no time: {error}", location="--to", remedy="E.g. 2026-01-31T12:00:00Z."
        ) from error
    ground = stand(environment, steps)
    engine = ground.engine()
    # Without them what is in the vault is noise.
    keeping.credentials(environment, engine)
    if ground.vault is None:
        raise UsageError(
            f"`{environment.name}` has no vault",
            location="ESQ_VAULT",
            remedy="Restore with `esq backup restore`.",
        )
    settings = {
        each.layer: each for each in deploy.configured(environment, engine, ground, list(Layer), steps)
    }
    deploy.introduce(ground, list(settings.values()))
    return _steps(ground, engine, settings, wish, arguments, steps) | {
        "seconds": round(time.monotonic() - begun, 1)
    }


def _steps(  # noqa: PLR0913, PLR0917 - what the steps stand on
    ground: Ground,
    engine: Engine,
    settings: dict[Layer, StackSettings],
    wish: str,
    arguments: tuple[str, ...],
    steps: ProgressReporter,
) -> dict[str, Any]:
    platform = Platform(ground)
    outcomes = [deploy.bring(engine, settings[Layer.CLUSTER], steps)]
    if platform.wish() is None:
        _must_be_lost(platform)
        platform.wish_for(wish, arguments)
    with steps.step("restore the database") as step:
        outcomes.append(deploy.raised(engine, settings[Layer.DATA], step))
        platform.await_postgres(step)
        platform.forget()
    with steps.step("restore the media") as step:
        media = _run(Jobs(ground.kubeconfig, DATA_NAMESPACE), names.MEDIA_BACK, step)
        step.set_result(f"{media['objects']} objects")
    outcomes.append(deploy.bring(engine, settings[Layer.SERVICES], steps))
    with steps.step("request again what was under way") as step:
        again = _run(Jobs(ground.kubeconfig, SERVICES_NAMESPACE), REQUEST_AGAIN, step)
        step.set_result(f"{again['requested']} messages")
    with steps.step("checks") as step:
        health = wait_until_well(ground.environment, ground, step)
        step.set_result(health.summary)
    found = seen(ground)
    return {
        "to": wish,
        "restored_until": found.restored_until,
        "media_objects": media["objects"],
        "requested_again": again["requested"],
        "healthy": health.healthy,
        "layers": [outcome.report() for outcome in outcomes],
    }


def _must_be_lost(platform: Platform) -> None:
    running = platform.pods(DATA_NAMESPACE, "postgres")
    if running:
        env = platform.ground.environment.name
        raise UsageError(
            f"`{env}` is not lost: {', '.join(running)} run",
            location="esq backup rebuild",
            remedy=f"To set it back: `esq backup restore {env} --to TIME --in-place`.",
        )


def _run(jobs: Jobs, template: str, step: ProgressStep) -> dict[str, Any]:
    name = jobs.start(template)
    told = jobs.follow(name, step, JOB_SECONDS, remedy="Repeat the command; it goes on from here.")
    if not told["good"]:
        raise EsqError(
            f"{template} failed",
            location=name,
            remedy="Repeat the command.",
            detail="\n".join(told["faults"]),
        )
    return told
