"""An environment as the command line sees it: its name, where its state lives, and which cluster it is on.

Settings come by flag, then by `ESQ_...` variable, then by default.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - pydantic reads the annotation when the class is made

import platformdirs
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.errors import UsageError

LOCAL = "local"
"""The one environment that brings its own cluster: three zones on this machine."""

_NAME = re.compile(r"^[a-z][a-z0-9-]{0,20}$")


class Variables(BaseSettings):
    """What may be set by `ESQ_...` variables.

    Attributes:
        cluster: name of the zones' cluster; the environment's name when unset.
        subnet: addresses of the zones' cluster, a /16.
        backend: Pulumi backend URL, e.g. `s3://bucket`; a folder of the environment when unset.
        kubeconfig: a cluster that is there already, instead of the zones.
    """

    model_config = SettingsConfigDict(env_prefix="ESQ_", extra="ignore", frozen=True)

    cluster: str | None = None
    subnet: str = Field(default="10.90.0.0/16")
    backend: str | None = None
    kubeconfig: Path | None = None


@dataclass(frozen=True)
class Environment:
    """A named deployment.

    Attributes:
        name: e.g. `local`.
        folder: its state, owner-only: file backend, passphrase, stack configuration, logs.
        clusters: folder of the states of all zones' clusters.
        cluster: name of its zones' cluster.
        subnet: addresses of its zones' cluster.
        backend: Pulumi backend URL.
        given: kubeconfig of a cluster that is not ours to make; None means the zones.
    """

    name: str
    folder: Path
    clusters: Path
    cluster: str
    subnet: str
    backend: str
    given: Path | None

    @property
    def keeps_its_stacks(self) -> bool:
        """Whether the stacks are in the environment's folder, and go with it."""
        return self.backend == (self.folder / "backend").as_uri()

    @property
    def vault(self) -> Path:
        """Folder of the store that keeps its backups when its zones are lost."""
        return self.clusters.parent / "vaults" / self.cluster

    @property
    def zones(self) -> bool:
        """Whether this environment lives on zones of its own on this machine."""
        return self.given is None


def root() -> Path:
    """Return the folder of everything esq keeps for this user."""
    return platformdirs.user_state_path("esq")


def find(name: str, *, kubeconfig: Path | None = None, backend: str | None = None) -> Environment:
    """Return the environment called `name`; flags win over variables.

    Raises:
        UsageError: the name cannot be one, or the environment has no cluster to live on.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"`{name}` cannot be the name of an environment",
            location="ENV",
            remedy="Use a lower-case letter, then up to 20 letters, digits or dashes, e.g. `local`.",
        )
    variables = Variables()
    given = kubeconfig or variables.kubeconfig
    if given is None and name != LOCAL:
        raise UsageError(
            f"`{name}` has no cluster: only `{LOCAL}` brings its own",
            location="--kubeconfig",
            remedy=f"Say which cluster it is: `esq deploy {name} --kubeconfig FILE` (or set ESQ_KUBECONFIG).",
        )
    _must_be_there(given)
    folder = root() / "environments" / name
    return Environment(
        name=name,
        folder=folder,
        clusters=root() / "clusters",
        cluster=variables.cluster or name,
        subnet=variables.subnet,
        backend=backend or variables.backend or (folder / "backend").as_uri(),
        given=given.resolve() if given else None,
    )


def _must_be_there(kubeconfig: Path | None) -> None:
    if kubeconfig is not None and not kubeconfig.is_file():
        raise UsageError(
            f"no such file: {kubeconfig}",
            location="--kubeconfig",
            remedy="Give the path of a kubeconfig file.",
        )
