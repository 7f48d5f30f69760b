"""Settings and credentials of an environment's layers, kept as the configuration of their stacks.

The credentials are one secret value of each stack that needs them, encrypted by the environment's passphrase.
They are made once, before the first deploy, and written down before anything uses them, so that a crash
cannot leave a database with a password that nobody knows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from infra.config import IMAGES, Layer, StackSettings, parse
from infra.credentials import Credentials, complete
from infra.errors import EsqError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cli.engine import Engine
    from cli.environment import Environment
    from infra.credentials import VaultAccess

PLAIN = "settings"
"""Configuration key of everything that is no secret, as JSON."""
SECRET = "credentials"  # noqa: S105 - the name of a key
"""Configuration key of the credentials, as JSON."""

_NEED = (Layer.DATA, Layer.SERVICES)


@dataclass
class Found:
    """Settings by layer, and what was done to get them."""

    settings: list[StackSettings] = field(default_factory=list)
    told: str = ""


def credentials(environment: Environment, engine: Engine) -> Credentials:
    """Return the credentials of an environment that was deployed.

    Raises:
        EsqError: it was not, or not from this machine.
    """
    kept = engine.configuration(Layer.DATA).get(SECRET)
    if kept is None:
        raise EsqError(
            f"there are no credentials of `{environment.name}` here",
            location=str(environment.folder),
            remedy=f"Deploy it first: `esq deploy {environment.name}`.",
        )
    return Credentials.model_validate_json(kept)


def load(
    environment: Environment,
    engine: Engine,
    images: Mapping[str, str],
    layers: Sequence[Layer],
    vault: VaultAccess | None = None,
) -> Found:
    """Return the settings of `layers`; what is missing of the credentials is made, the vault is as given.

    Raises:
        ProblemsError: settings that cannot be used, all of them named.
    """
    found = Found(told="as they were")
    secrets = None
    if any(layer in _NEED for layer in layers):
        text = engine.configuration(Layer.DATA).get(SECRET)
        kept = Credentials.model_validate_json(text) if text else None
        secrets = complete(kept).model_copy(update={"vault": vault})
        if secrets != kept:
            found.told = "renewed what was missing or ageing" if kept else "made anew"
    for layer in layers:
        values: dict[str, object] = {"environment": environment.name, "layer": layer}
        values["images"] = {name: images[name] for name in IMAGES[layer] if name in images}
        values["credentials"] = secrets if layer in _NEED else None
        found.settings.append(parse(values))
    return found


def keep(engine: Engine, settings: StackSettings) -> None:
    """Write the settings down as the configuration of their stack."""
    plain = {PLAIN: settings.model_dump_json(exclude={SECRET}, exclude_defaults=True)}
    secret = {SECRET: settings.credentials.model_dump_json()} if settings.credentials else {}
    engine.configure(settings.layer, plain, secret)
