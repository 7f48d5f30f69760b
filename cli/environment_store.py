"""The store of an environment's record and credentials: the outputs of its environment stack.

Created once and never overwritten by accident: whoever saves names the values that he replaces. Values travel
between `esq` and the engine over a local connection, never on a command line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from cli.engine_results import DeployFailedError
from infra.errors import EsqError
from stacks import environment_stack
from stacks.environment_stack import StoreChangedError, StoredEnvironment, parse_outputs

if TYPE_CHECKING:
    from cli.pulumi_engine import PulumiEngine
    from infra.progress import ProgressStep

__all__ = ["EnvironmentStore", "StoredEnvironment"]


class EnvironmentStore:
    """The store of one environment.

    Args:
        engine: the environment's Pulumi engine.
    """

    def __init__(self, engine: PulumiEngine) -> None:
        self._engine = engine
        self._name = engine.environment.name

    @property
    def location(self) -> str:
        """Where the values are, for messages."""
        return f"stack {self._name}-{environment_stack.LAYER} in {self._engine.environment.backend}"

    def load(self) -> StoredEnvironment | None:
        """Return the stored values; None for an environment that was never deployed.

        Raises:
            EsqError: the environment is deployed and its credentials are lost, or they cannot be read.
        """
        stored = self.read()
        self.require_not_lost(stored)
        return stored

    def read(self) -> StoredEnvironment | None:
        """Return the stored values; None when there are none, lost ones included.

        Raises:
            EsqError: they cannot be read.
        """
        try:
            return parse_outputs(self._engine.workspace.outputs(environment_stack.LAYER))
        except ValidationError as error:
            raise self._unreadable(error) from error

    def require(self) -> StoredEnvironment:
        """Return the stored values of a deployed environment.

        Raises:
            EsqError: the environment is not deployed, or its credentials are lost.
        """
        stored = self.load()
        if stored is None:
            raise EsqError(
                f"`{self._name}` is not deployed",
                location=self.location,
                remedy=f"Deploy it first: `esq deploy {self._name}`.",
            )
        return stored

    def save(
        self, stored: StoredEnvironment, *, expected: StoredEnvironment | None, step: ProgressStep
    ) -> None:
        """Save values, unless another run has changed them meanwhile.

        Args:
            stored: the new values.
            expected: the values that were read and are replaced; None for a new environment.
            step: shows the progress.

        Raises:
            EsqError: the store holds other values than expected; nothing was changed.
        """
        if stored == expected:
            return
        conflicts: list[StoreChangedError] = []

        def program() -> None:
            try:
                environment_stack.program(stored, expected)
            except StoreChangedError as error:
                conflicts.append(error)
                raise

        try:
            self._engine.publish(environment_stack.LAYER, program, step)
        except DeployFailedError as error:
            if not conflicts:
                raise
            raise EsqError(
                f"another run has changed the credentials of `{self._name}` meanwhile",
                location=self.location,
                remedy="Nothing was overwritten. Repeat the command: it uses the present credentials.",
            ) from error

    def remove(self, step: ProgressStep) -> None:
        """Remove the environment's record and credentials for good.

        Args:
            step: shows the progress.
        """
        self._engine.destroy(environment_stack.LAYER, step)

    def require_not_lost(self, stored: StoredEnvironment | None) -> None:
        """Require that an environment without stored values was never deployed.

        Args:
            stored: the values that were read.

        Raises:
            EsqError: the environment is deployed and its credentials are lost.
        """
        layers = (
            self._engine.workspace.layers() - {environment_stack.LAYER} if stored is None else frozenset()
        )
        if layers:
            raise EsqError(
                f"`{self._name}` is deployed ({', '.join(sorted(layers))}), but its credentials are lost",
                location=self.location,
                remedy=f"Restore them from an export: `esq credentials import {self._name} FILE`.",
            )

    def _unreadable(self, error: ValidationError) -> EsqError:
        fields = ", ".join(".".join(map(str, detail["loc"])) for detail in error.errors())
        return EsqError(
            f"the credentials of `{self._name}` are of another version of esq",
            location=self.location,
            remedy="Use the version that deployed the environment last.",
            detail=f"fields: {fields}",
        )
