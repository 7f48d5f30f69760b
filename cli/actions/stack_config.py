"""Settings and credentials of an environment's layers.

The credentials are created once, before the first deploy, and saved before they are used: a crash cannot
leave a database with an unknown password. They are kept in the environment stack; the configuration of the
layers' stacks holds plain settings only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cli.environment_check import require_unoccupied
from cli.environment_store import EnvironmentStore, StoredEnvironment
from infra.cluster_identity import deployed_environment
from infra.credentials import complete_credentials
from infra.stack_settings import IMAGES, Layer, parse_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cli.actions.deployment_target import DeploymentTarget
    from cli.pulumi_engine import PulumiEngine
    from infra.credentials import Credentials
    from infra.stack_settings import StackSettings

SETTINGS_KEY = "settings"
"""Configuration key of all values that are not secret, as JSON."""


@dataclass
class LoadedSettings:
    """Settings by layer, and what they come from.

    Attributes:
        settings: settings of each layer, in order.
        stored: what the environment stack holds; None for a new environment.
        current: what this deploy uses and saves.
        summary: what was generated, in words.
    """

    stored: StoredEnvironment | None
    current: StoredEnvironment
    settings: list[StackSettings] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """What was generated and whether a rotation is in progress, in words."""
        phase = self.current.credentials.rotation
        return f"{self._changes}; rotation in phase {phase}" if phase else self._changes

    @property
    def _changes(self) -> str:
        if self.stored is None:
            return "generated credentials"
        if self.current.credentials != self.stored.credentials:
            return "changed missing or expiring credentials"
        return "unchanged" if self.current == self.stored else "changed record"


def load_credentials(engine: PulumiEngine) -> Credentials:
    """Return the credentials of the engine's environment.

    Raises:
        EsqError: the environment is not deployed, or its credentials are lost.
    """
    return EnvironmentStore(engine).require().credentials


def load_settings(
    target: DeploymentTarget,
    engine: PulumiEngine,
    stored: StoredEnvironment | None,
    images: Mapping[str, str],
    layers: Sequence[Layer],
) -> LoadedSettings:
    """Return the settings of layers; missing and expiring credentials are generated, and nothing is saved.

    Args:
        target: the deployment target.
        engine: its Pulumi engine.
        stored: what the environment stack holds.
        images: image references by name.
        layers: the layers.

    Raises:
        ProblemsError: invalid settings, all of them named.
        UsageError: the cluster holds another environment, or the environment of another backend.
        EsqError: the environment is deployed, and its credentials are lost.
    """
    environment, record = target.environment, target.current_record
    EnvironmentStore(engine).require_not_lost(stored)
    occupant = deployed_environment(target.kubeconfig)
    if stored is None or occupant != environment.name:
        require_unoccupied(record, occupant)
    existing = stored.credentials if stored else None
    offsite_store = target.offsite_store(existing.offsite_store if existing else None)
    credentials = complete_credentials(existing).model_copy(update={"offsite_store": offsite_store})
    current = StoredEnvironment(record=record, credentials=credentials)
    loaded = LoadedSettings(stored, current)
    for layer in layers:
        values: dict[str, object] = {"environment": environment.name, "layer": layer}
        values |= environment.definition.platform_settings
        values["images"] = {name: images[name] for name in IMAGES[layer] if name in images}
        values["credentials"] = None if layer is Layer.CLUSTER else credentials
        loaded.settings.append(parse_settings(values))
    return loaded


def save_settings(engine: PulumiEngine, settings: StackSettings) -> None:
    """Write the plain settings as the configuration of their stack.

    Args:
        engine: the Pulumi engine.
        settings: settings of one layer.
    """
    values = settings.model_dump_json(exclude={"credentials"}, exclude_defaults=True)
    engine.workspace.write_config(settings.layer, {SETTINGS_KEY: values})
