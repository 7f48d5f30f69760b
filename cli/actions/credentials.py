"""Export and import of an environment's credentials: a copy outside of the stacks' backend."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from cli.actions.deployment_target import CONTROL_TOOLS, open_target
from cli.environment_lock import hold_environment
from cli.environment_store import EnvironmentStore, StoredEnvironment
from infra.credentials import Credentials
from infra.errors import EsqError, Problem, ProblemsError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from cli.environment import Environment
    from infra.credentials import RotationPhase
    from infra.progress import ProgressReporter


def export_credentials(environment: Environment, progress: ProgressReporter) -> str:
    """Return the credentials of an environment as JSON, in clear.

    Args:
        environment: the environment.
        progress: reports builds of tools.

    Raises:
        EsqError: the environment is not deployed, or its credentials are lost.
    """
    store = _open_store(environment, progress)
    return store.require().credentials.model_dump_json(indent=2) + "\n"


@dataclass(frozen=True)
class Rotation:
    """The rotation of the credentials that is in progress.

    Attributes:
        phase: its phase; None without a rotation, or if it is unknown.
        notice: what is in progress and how to continue, or why it is unknown; empty without a rotation.
    """

    phase: RotationPhase | None
    notice: str


def find_rotation(environment: Environment, progress: ProgressReporter) -> Rotation:
    """Return the rotation that is in progress; a store that cannot be read is no error.

    Args:
        environment: the environment.
        progress: reports builds of tools.
    """
    try:
        stored = _open_store(environment, progress).read()
    except EsqError as error:
        return Rotation(
            None, f"whether a rotation of the credentials is in progress is unknown: {error.message}"
        )
    phase = stored.credentials.rotation if stored else None
    remedy = f"continue it with `esq credentials rotate {environment.name} --yes`"
    return Rotation(phase, f"a rotation of the credentials is in phase {phase}: {remedy}" if phase else "")


def write_export(text: str, file: Path) -> None:
    """Write an export to a new file that only its owner can read.

    Args:
        text: the export.
        file: path of the file.

    Raises:
        UsageError: the file exists, or cannot be created.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise UsageError(
            f"the file cannot be created: {error.strerror}",
            location=str(file),
            remedy="Name a new file in an existing folder: `--output FILE`.",
        ) from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(text)


def import_credentials(environment: Environment, file: Path, progress: ProgressReporter) -> bool:
    """Save exported credentials as those of an environment that has none.

    Args:
        environment: the environment.
        file: an export.
        progress: reports steps.

    Returns:
        Whether they were saved; False when the environment has the same.

    Raises:
        ProblemsError: the file is not an export; all problems at once.
        EsqError: the environment has other credentials.
    """
    credentials = _parse_export(file)
    with hold_environment(environment, "credentials import"):
        store = _open_store(environment, progress)
        stored = store.read()
        if stored is not None and stored.credentials != credentials:
            raise EsqError(
                f"`{environment.name}` has other credentials",
                location=store.location,
                remedy="Nothing was changed. Import only restores lost credentials.",
            )
        if stored is not None:
            return False
        with progress.step("save credentials") as step:
            store.save(StoredEnvironment(record=None, credentials=credentials), expected=None, step=step)
    return True


def _open_store(environment: Environment, progress: ProgressReporter) -> EnvironmentStore:
    target = open_target(environment, progress)
    target.tools.ensure(CONTROL_TOOLS, progress)
    return EnvironmentStore(target.engine())


def _parse_export(file: Path) -> Credentials:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the file cannot be read: {error}", location=str(file), remedy="Name an export."
        ) from error
    try:
        return Credentials.model_validate_json(text)
    except ValidationError as error:
        # The message of pydantic contains the values.
        problems = [
            Problem(detail["msg"], ".".join(map(str, detail["loc"])) or "JSON", "Use an unchanged export.")
            for detail in error.errors(include_input=False, include_context=False)
        ]
        raise ProblemsError(f"{file} is no export of credentials", problems) from None
