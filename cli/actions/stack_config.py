"""Settings and credentials of an environment's layers, saved as the configuration of their stacks.

The credentials are one secret value of each stack that needs them, encrypted with the environment's
passphrase. They are generated once, before the first deploy, and saved before they are used. Therefore a
crash cannot leave a database with an unknown password.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from infra.credentials import Credentials, complete_credentials
from infra.errors import EsqError
from infra.stack_settings import IMAGES, Layer, StackSettings, parse_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cli.environment import Environment
    from cli.pulumi_engine import PulumiEngine
    from infra.credentials import OffsiteStoreAccess

SETTINGS_KEY = "settings"
"""Configuration key of all values that are not secret, as JSON."""
CREDENTIALS_KEY = "credentials"
"""Configuration key of the credentials, as JSON."""

_LAYERS_WITH_CREDENTIALS = (Layer.DATA, Layer.SERVICES)


@dataclass
class LoadedSettings:
    """Settings by layer, and a summary of what was generated."""

    settings: list[StackSettings] = field(default_factory=list)
    summary: str = ""


def load_credentials(environment: Environment, engine: PulumiEngine) -> Credentials:
    """Return the credentials of a deployed environment.

    Args:
        environment: the environment.
        engine: its Pulumi engine.

    Raises:
        EsqError: the environment is not deployed from this machine.
    """
    saved = engine.get_config(Layer.DATA).get(CREDENTIALS_KEY)
    if saved is None:
        raise EsqError(
            f"no credentials of `{environment.name}` on this machine",
            location=str(environment.folder),
            remedy=f"Deploy it first: `esq deploy {environment.name}`.",
        )
    return Credentials.model_validate_json(saved)


def load_settings(
    environment: Environment,
    engine: PulumiEngine,
    images: Mapping[str, str],
    layers: Sequence[Layer],
    find_offsite_store: Callable[[OffsiteStoreAccess | None], OffsiteStoreAccess | None],
) -> LoadedSettings:
    """Return the settings of layers; missing and expiring credentials are generated.

    Args:
        environment: the environment.
        engine: its Pulumi engine.
        images: image references by name.
        layers: the layers.
        find_offsite_store: returns the access to the off-site store, of that of the last deploy.

    Raises:
        ProblemsError: invalid settings, all of them named.
    """
    loaded = LoadedSettings(summary="unchanged")
    credentials = None
    if any(layer in _LAYERS_WITH_CREDENTIALS for layer in layers):
        text = engine.get_config(Layer.DATA).get(CREDENTIALS_KEY)
        saved = Credentials.model_validate_json(text) if text else None
        offsite_store = find_offsite_store(saved.offsite_store if saved else None)
        credentials = complete_credentials(saved).model_copy(update={"offsite_store": offsite_store})
        if credentials != saved:
            loaded.summary = "renewed missing or expiring credentials" if saved else "generated credentials"
    for layer in layers:
        values: dict[str, object] = {"environment": environment.name, "layer": layer}
        values |= environment.definition.platform_settings
        values["images"] = {name: images[name] for name in IMAGES[layer] if name in images}
        values["credentials"] = credentials if layer in _LAYERS_WITH_CREDENTIALS else None
        loaded.settings.append(parse_settings(values))
    return loaded


def save_settings(engine: PulumiEngine, settings: StackSettings) -> None:
    """Save settings as the configuration of their stack.

    Args:
        engine: the Pulumi engine.
        settings: settings of one layer.
    """
    plain = {SETTINGS_KEY: settings.model_dump_json(exclude={CREDENTIALS_KEY}, exclude_defaults=True)}
    secret = {CREDENTIALS_KEY: settings.credentials.model_dump_json()} if settings.credentials else {}
    engine.set_config(settings.layer, plain, secret)
