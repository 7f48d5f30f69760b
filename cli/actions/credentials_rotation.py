"""Rotation of an environment's credentials: three deploys under one lock.

The phases and what they guarantee are in `infra.credentials_rotation`. Each phase is saved before its deploy
and deployed completely, up to healthy components, before the next one is saved. A repeated command deploys
the saved phase again and continues.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cli.actions.deploy import (
    deploy_layers,
    load_layer_settings,
    open_engine,
    push_images,
    save_environment,
)
from cli.actions.deployment_target import open_deployed_target, provision_target
from cli.actions.health import wait_until_healthy
from cli.environment_lock import hold_environment
from cli.environment_store import EnvironmentStore
from infra.credentials_rotation import next_phase
from infra.errors import EsqError
from infra.stack_settings import Layer

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.environment import Environment
    from cli.environment_store import StoredEnvironment
    from infra.credentials import RotationPhase
    from infra.progress import ProgressReporter, ProgressStep

LAYERS = (Layer.DATA, Layer.SERVICES, Layer.OBSERVABILITY)
"""Layers with credentials."""


class CredentialsStore(Protocol):
    """The store of the credentials, as a rotation uses it; see `EnvironmentStore`."""

    def require(self) -> StoredEnvironment:
        """Return the stored values of a deployed environment."""
        ...

    def save(
        self, stored: StoredEnvironment, *, expected: StoredEnvironment | None, step: ProgressStep
    ) -> None:
        """Save values.

        Args:
            stored: the new values.
            expected: the values that they replace.
            step: shows the progress.
        """
        ...


@dataclass(frozen=True)
class RotationResult:
    """Result of a completed rotation.

    Attributes:
        phases: phases that this run deployed; not all of them if it resumed a rotation.
        generation: generation that is used now.
    """

    phases: tuple[RotationPhase, ...]
    generation: str


def rotate(environment: Environment, progress: ProgressReporter) -> RotationResult:
    """Replace the certificate authority and all keys and passwords, or continue a rotation.

    Args:
        environment: the environment.
        progress: reports steps.

    Returns:
        The result of the completed rotation.

    Raises:
        EsqError: the environment is not deployed or not healthy, or a phase could not be deployed; a repeated
            rotation continues with it.
    """
    open_deployed_target(environment, progress)
    with hold_environment(environment, "credentials rotate") as lock:
        target = provision_target(environment, progress)
        engine = open_engine(target, lock, progress).engine
        store = EnvironmentStore(engine)
        deployed = engine.workspace.layers()
        layers = [layer for layer in LAYERS if layer in deployed]
        if store.require().credentials.rotation is None:
            with progress.step("health before the rotation") as step:
                step.set_result(wait_until_healthy(environment, target, step).summary)

        def deploy_phase() -> None:
            images = push_images(target, layers, progress)
            loaded = load_layer_settings(engine, store.load(), target, images, layers, progress)
            save_environment(engine, loaded, progress)
            deploy_layers(target, engine, loaded.settings, progress)

        return run_phases(environment.name, store, deploy_phase, progress)


def run_phases(
    name: str, store: CredentialsStore, deploy_phase: Callable[[], None], progress: ProgressReporter
) -> RotationResult:
    """Run the remaining phases of a rotation, all of them if none is in progress.

    Args:
        name: name of the environment, for messages.
        store: the store of the credentials.
        deploy_phase: deploys the stored credentials, and returns when the environment is healthy.
        progress: reports steps.

    Returns:
        The result of the completed rotation.

    Raises:
        EsqError: a phase could not be deployed.
    """
    stored = store.require()
    if stored.credentials.rotation is None:
        stored = _save_next_phase(store, stored, progress)
    deployed: list[RotationPhase] = []
    while (phase := stored.credentials.rotation) is not None:
        with progress.step(f"rotation, phase {phase}"):
            _deploy(name, phase, deploy_phase)
        deployed.append(phase)
        # A deploy may have completed the credentials.
        stored = _save_next_phase(store, store.require(), progress)
    return RotationResult(tuple(deployed), stored.credentials.generation)


def _deploy(name: str, phase: RotationPhase, deploy_phase: Callable[[], None]) -> None:
    try:
        deploy_phase()
    except EsqError as error:
        raise EsqError.caused_by(
            error,
            f"the rotation stopped in phase {phase}",
            remedy=f"Correct the problem, then continue: `esq credentials rotate {name} --yes`.",
        ) from error


def _save_next_phase(
    store: CredentialsStore, stored: StoredEnvironment, progress: ProgressReporter
) -> StoredEnvironment:
    changed = stored.model_copy(update={"credentials": next_phase(stored.credentials)})
    with progress.step("save credentials") as step:
        store.save(changed, expected=stored, step=step)
        phase = changed.credentials.rotation
        step.set_result(f"phase {phase}" if phase else "no rotation in progress")
    return changed
