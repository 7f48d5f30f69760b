"""An environment of the command line: its name, its definition, its state directory, its embedded cluster."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.environment_definition import LOCAL_DEFINITION, EnvironmentDefinition, load_definition
from infra.environment_record import EnvironmentRecord
from infra.errors import UsageError
from infra.files import write_atomically
from infra.observability_settings import ObservabilitySettings
from infra.stack_settings import Layer
from infra.validation import suggest

LOCAL = "local"
"""The only environment with a cluster of its own: three zones on this machine."""
DEFINITIONS_DIR = Path(__file__).resolve().parents[1] / "stacks" / "environments"

_NAME = re.compile(r"^[a-z][a-z0-9-]{0,20}$")


class EnvironmentSettings(BaseSettings):
    """Settings from `ESQ_...` variables.

    Attributes:
        local_cluster: name of the local cluster; the environment's name when unset.
        local_subnet: addresses of the local cluster, a /16.
        local_observability: whether a deploy of `local` includes the observability layer.
        environments_dir: folder of the definitions of environments.
    """

    model_config = SettingsConfigDict(env_prefix="ESQ_", extra="ignore", frozen=True)

    local_cluster: str | None = None
    local_subnet: str = Field(default="10.90.0.0/16")
    local_observability: bool = False
    environments_dir: Path = DEFINITIONS_DIR


@dataclass(frozen=True)
class Environment:
    """A named deployment.

    Attributes:
        name: name of the environment, e.g. `local`.
        definition: where it runs and how.
        folder: folder of its state, owner-only: file backend, passphrase, stack configuration, logs.
        clusters_dir: folder of the states of all local clusters.
        cluster: name of its local cluster.
        subnet: addresses of its local cluster.
    """

    name: str
    definition: EnvironmentDefinition
    folder: Path
    clusters_dir: Path
    cluster: str
    subnet: str

    @property
    def backend(self) -> str:
        """Pulumi backend URL."""
        return self.definition.backend or (self.folder / "backend").as_uri()

    @property
    def record_file(self) -> Path:
        """Copy of the environment's record on this machine."""
        return self.folder / "record.json"

    def load_record(self) -> EnvironmentRecord | None:
        """Return the copy of the environment's record; None without one, or of another version of esq."""
        try:
            return EnvironmentRecord.model_validate_json(self.record_file.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValidationError):
            return None

    def save_record(self, record: EnvironmentRecord) -> None:
        """Write the copy of the environment's record."""
        write_atomically(self.record_file, record.model_dump_json(indent=2))

    @property
    def has_local_backend(self) -> bool:
        """Whether the stacks are in the environment's folder and are deleted with it."""
        return self.definition.backend is None

    @property
    def offsite_store_dir(self) -> Path:
        """Folder of the off-site store, which keeps the backups when the local cluster is lost."""
        return self.clusters_dir.parent / "offsite-stores" / self.cluster

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers of a deploy that names none."""
        chosen = self.definition.observability.enabled
        return tuple(layer for layer in Layer if chosen or layer is not Layer.OBSERVABILITY)

    @property
    def is_local_cluster(self) -> bool:
        """Whether this environment uses a local cluster."""
        return self.definition.existing_cluster is None


def state_dir() -> Path:
    """Return the folder of all state of this user."""
    return platformdirs.user_state_path("esq")


def definitions_dir() -> Path:
    """Return the folder of the definitions of environments."""
    return EnvironmentSettings().environments_dir


def environment_names() -> list[str]:
    """Return the names of all environments, `local` first."""
    return [LOCAL, *sorted(file.stem for file in definitions_dir().glob("*.yaml"))]


def require_valid_name(name: str) -> None:
    """Reject a name that cannot be the name of an environment.

    Raises:
        UsageError: the name is invalid.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"`{name}` is not a valid name of an environment",
            location="ENV",
            remedy="Use a lower-case letter, then up to 20 letters, digits or dashes, e.g. `staging`.",
        )


def load_environment(name: str) -> Environment:
    """Return the environment with this name.

    Raises:
        UsageError: invalid or unknown name.
        ProblemsError: all problems of its definition.
    """
    require_valid_name(name)
    settings = EnvironmentSettings()
    cluster = settings.local_cluster or name
    return Environment(
        name=name,
        definition=_definition(name, settings),
        folder=state_dir() / "environments" / _folder_name(name, cluster),
        clusters_dir=state_dir() / "clusters",
        cluster=cluster,
        subnet=settings.local_subnet,
    )


def _folder_name(name: str, cluster: str) -> str:
    """Return the name of the state's folder; each local cluster has one, which no environment can have."""
    return f"{name}.{cluster}" if name == LOCAL and cluster != LOCAL else name


def _definition(name: str, settings: EnvironmentSettings) -> EnvironmentDefinition:
    file = settings.environments_dir / f"{name}.yaml"
    if name == LOCAL:
        _require_no_file(file)
        observability = ObservabilitySettings(enabled=settings.local_observability)
        return LOCAL_DEFINITION.model_copy(update={"observability": observability})
    if not file.is_file():
        names = environment_names()
        raise UsageError(
            f"no environment `{name}`: {file} does not exist",
            location="ENV",
            remedy=f"{suggest(name, names)}Known: {', '.join(names)}. New: `esq env init {name}`.",
        )
    return load_definition(file)


def _require_no_file(file: Path) -> None:
    if file.exists():
        raise UsageError(
            f"`{LOCAL}` is built in and takes no definition",
            location=str(file),
            remedy="Give the file the name of another environment.",
        )
