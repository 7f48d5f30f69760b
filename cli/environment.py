"""An environment of the command line: its name, its state directory, its cluster.

Precedence of settings: option, then `ESQ_...` variable, then default.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - pydantic reads the annotation when the class is created

import platformdirs
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.errors import UsageError

LOCAL = "local"
"""The only environment with a cluster of its own: three zones on this machine."""

_NAME = re.compile(r"^[a-z][a-z0-9-]{0,20}$")


class EnvironmentSettings(BaseSettings):
    """Settings from `ESQ_...` variables.

    Attributes:
        local_cluster: name of the local cluster; the environment's name when unset.
        local_subnet: addresses of the local cluster, a /16.
        backend: Pulumi backend URL, e.g. `s3://bucket`; a folder of the environment when unset.
        kubeconfig: kubeconfig of an existing cluster, instead of the local cluster.
    """

    model_config = SettingsConfigDict(env_prefix="ESQ_", extra="ignore", frozen=True)

    local_cluster: str | None = None
    local_subnet: str = Field(default="10.90.0.0/16")
    backend: str | None = None
    kubeconfig: Path | None = None


@dataclass(frozen=True)
class Environment:
    """A named deployment.

    Attributes:
        name: name of the environment, e.g. `local`.
        folder: folder of its state, owner-only: file backend, passphrase, stack configuration, logs.
        clusters_dir: folder of the states of all local clusters.
        cluster: name of its local cluster.
        subnet: addresses of its local cluster.
        backend: Pulumi backend URL.
        external_kubeconfig: kubeconfig of an existing cluster; None means the local cluster.
    """

    name: str
    folder: Path
    clusters_dir: Path
    cluster: str
    subnet: str
    backend: str
    external_kubeconfig: Path | None

    @property
    def has_local_backend(self) -> bool:
        """Whether the stacks are in the environment's folder and are deleted with it."""
        return self.backend == (self.folder / "backend").as_uri()

    @property
    def offsite_store_dir(self) -> Path:
        """Folder of the off-site store, which keeps the backups when the local cluster is lost."""
        return self.clusters_dir.parent / "offsite-stores" / self.cluster

    @property
    def is_local_cluster(self) -> bool:
        """Whether this environment uses a local cluster."""
        return self.external_kubeconfig is None


def state_dir() -> Path:
    """Return the folder of all state of this user."""
    return platformdirs.user_state_path("esq")


def load_environment(name: str, *, kubeconfig: Path | None = None, backend: str | None = None) -> Environment:
    """Return the environment with this name.

    Args:
        name: name of the environment, e.g. `local`.
        kubeconfig: kubeconfig of an existing cluster; overrides ESQ_KUBECONFIG.
        backend: Pulumi backend URL; overrides ESQ_BACKEND.

    Raises:
        UsageError: invalid name, no cluster for the environment, or the kubeconfig does not exist.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"`{name}` is not a valid name of an environment",
            location="ENV",
            remedy="Use a lower-case letter, then up to 20 letters, digits or dashes, e.g. `local`.",
        )
    settings = EnvironmentSettings()
    external_kubeconfig = kubeconfig or settings.kubeconfig
    if external_kubeconfig is None and name != LOCAL:
        raise UsageError(
            f"`{name}` has no cluster: only `{LOCAL}` has a cluster of its own",
            location="--kubeconfig",
            remedy=f"Name an existing cluster: `esq deploy {name} --kubeconfig FILE` (or ESQ_KUBECONFIG).",
        )
    _require_kubeconfig(external_kubeconfig)
    folder = state_dir() / "environments" / name
    return Environment(
        name=name,
        folder=folder,
        clusters_dir=state_dir() / "clusters",
        cluster=settings.local_cluster or name,
        subnet=settings.local_subnet,
        backend=backend or settings.backend or (folder / "backend").as_uri(),
        external_kubeconfig=external_kubeconfig.resolve() if external_kubeconfig else None,
    )


def _require_kubeconfig(kubeconfig: Path | None) -> None:
    if kubeconfig is not None and not kubeconfig.is_file():
        raise UsageError(
            f"no such file: {kubeconfig}",
            location="--kubeconfig",
            remedy="Give the path of a kubeconfig file.",
        )
