"""The key of an environment's secrets: a passphrase in a file, or a key of a service.

A passphrase is created once, for an environment that has no stack yet. Where it has stacks, a new passphrase
could not read them, and would hide that the right one is missing.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from cli.engine_results import PassphraseError
from infra.environment_definition import PASSPHRASE

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.environment import Environment

_VARIABLES = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")
"""In the engine's order of precedence."""


class SecretsKey:
    """The key of one environment.

    Args:
        environment: the environment.
        layers: returns the layers of the environment that have a stack in the backend.
    """

    def __init__(self, environment: Environment, layers: Callable[[], frozenset[str]]) -> None:
        self._environment = environment
        self._provider = environment.definition.secrets_provider
        self._layers = layers
        self._file = environment.folder / "passphrase"

    @property
    def service_url(self) -> str | None:
        """URL of the key for new stacks; None for a passphrase."""
        return None if self._provider == PASSPHRASE else self._provider

    def variables(self) -> dict[str, str]:
        """Return the engine's variables that name the key; creates the passphrase of a new environment.

        Raises:
            PassphraseError: the backend has stacks of the environment, but their passphrase is not here.
        """
        existing = self.existing_variables()
        return self._create_passphrase() if existing is None else existing

    def existing_variables(self) -> dict[str, str] | None:
        """Return the engine's variables that name the key; None without a passphrase and without a stack.

        Raises:
            PassphraseError: the backend has stacks of the environment, but their passphrase is not here.
        """
        if self._provider != PASSPHRASE:
            return {}
        if self._file.is_file():
            return self._file_variables()
        layers = self._layers()
        if not layers:
            # The variables may be those of another project.
            return None
        for variable in _VARIABLES:
            if value := os.environ.get(variable):
                return {variable: value}
        raise PassphraseError(
            f"the passphrase of `{self._environment.name}` is not on this machine",
            location=str(self._file),
            remedy="Copy this file from the machine that deployed the environment first, or set "
            "PULUMI_CONFIG_PASSPHRASE_FILE (or PULUMI_CONFIG_PASSPHRASE).",
            detail=f"{self._environment.backend} has its stacks: {', '.join(sorted(layers))}",
        )

    def _create_passphrase(self) -> dict[str, str]:
        with suppress(FileExistsError):
            descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as opened:
                opened.write(secrets.token_urlsafe(32))
        return self._file_variables()

    def _file_variables(self) -> dict[str, str]:
        return {"PULUMI_CONFIG_PASSPHRASE_FILE": str(self._file)}
