"""The cluster that an environment stands on: three zones that are made here, or one that is there already."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
from pydantic import ValidationError

from cli.actions.packages import install
from cli.engine import Engine
from infra.credentials import VaultAccess
from infra.errors import EsqError, Problem, ProblemsError, UsageError
from infra.provider import ProviderServer, plugin_folder

if TYPE_CHECKING:
    from cli.environment import Environment
    from infra.progress import ProgressReporter
    from infra.zones import Cluster
    from infra.zones.toolchain import Toolchain

CONTROL_TOOLS = ("pulumi",)
"""What a deploy needs on any cluster."""
CLUSTER_TOOLS = ("kubernetes", "etcd", "coredns", "local-path-provisioner")
"""What the zones are made of."""
ZONE_TOOLS = (*CLUSTER_TOOLS, *CONTROL_TOOLS, "garage", "kafka")
"""The same, and what the images that they run are made of."""

_REGISTRY_REMEDY = "Push the images to your registry, and give their digests in ESQ_IMAGES as JSON."


def caches() -> Path:
    """Return the folder of what can be built again."""
    return platformdirs.user_cache_path("esq")


@dataclass(frozen=True)
class Ground:
    """A cluster, ready to be deployed to.

    Attributes:
        environment: that lives on it.
        tools: what was built or found.
        cluster: the zones; None when the cluster was given.
    """

    environment: Environment
    tools: Toolchain
    cluster: Cluster | None

    @property
    def kubeconfig(self) -> Path:
        """The cluster's kubeconfig."""
        if self.cluster is not None:
            return self.cluster.kubeconfig
        if self.environment.given is None:
            raise TypeError("an environment has zones or a given cluster")
        return self.environment.given

    @property
    def address(self) -> str:
        """`https://...` of the edge; empty where the edge is not ours."""
        return f"https://{self.cluster.address}" if self.cluster is not None else ""

    @cached_property
    def _provider(self) -> ProviderServer | None:
        return None if official_provider() else ProviderServer(self.kubeconfig)

    @cached_property
    def path(self) -> str:
        """PATH of the engine: its program, and the provider where the official one is not installed."""
        folders = [str(self.tools.path("pulumi").parent)]
        if not official_provider():
            folders.append(str(plugin_folder()))
        return os.pathsep.join([*folders, os.environ.get("PATH", "")])

    @property
    def vault(self) -> VaultAccess | None:
        """Where backups go that are to outlive the environment; None when nobody said so.

        Raises:
            UsageError: what was said cannot be used.
        """
        return self.cluster.vault if self.cluster is not None else given_vault()

    def engine(self) -> Engine:
        """Return the engine for this cluster."""
        return Engine(self.environment, path=self.path, kubeconfig=self.kubeconfig, provider=self._provider)

    def push_images(self, steps: ProgressReporter) -> dict[str, str]:
        """Build and push what is not there yet; return image references by name.

        Raises:
            EsqError: the cluster was given, and so must be its images.
        """
        if self.cluster is None:
            return given_images()
        from infra.zones.images import Images  # noqa: PLC0415 - only the zones build images

        images = Images(cache=caches(), tools=self.tools)
        return images.push(registry=self.cluster.registry, ca=self.cluster.ca, steps=steps)


def given_images() -> dict[str, str]:
    """Return the images that the user pushed to a registry of theirs.

    Raises:
        EsqError: none were given.
    """
    import json  # noqa: PLC0415 - only here

    try:
        return dict(json.loads(os.environ["ESQ_IMAGES"]))
    except (KeyError, ValueError, TypeError) as error:
        raise EsqError(
            "a cluster that was given needs images that it can pull",
            location="ESQ_IMAGES",
            remedy=_REGISTRY_REMEDY,
        ) from error


def given_vault() -> VaultAccess | None:
    """Return the S3 store that the user keeps for backups, from ESQ_VAULT.

    Raises:
        UsageError: it is not what `infra.credentials.VaultAccess` describes.
    """
    text = os.environ.get("ESQ_VAULT")
    if not text:
        return None
    try:
        return VaultAccess.model_validate_json(text)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, each["loc"])) or "JSON" for each in error.errors())
        raise UsageError(
            f"the vault cannot be used: {fields}",
            location="ESQ_VAULT",
            remedy="Give JSON with url, region, bucket, key_id, key_secret and authority (PEM).",
        ) from error


def official_provider() -> bool:
    """Return whether Pulumi's own Kubernetes provider is installed."""
    home = Path(os.environ.get("PULUMI_HOME", "~/.pulumi")).expanduser()
    return any((home / "plugins").glob("resource-kubernetes-v*/pulumi-resource-kubernetes"))


def zones(environment: Environment, tools: Toolchain) -> Cluster:
    """Return the zones of an environment, running or not."""
    from infra.zones import Cluster, ClusterSpec  # noqa: PLC0415 - a given cluster needs none of it

    try:
        spec = ClusterSpec.model_validate({"name": environment.cluster, "subnet": environment.subnet})
    except ValidationError as error:
        problems = [
            Problem(
                each["msg"], f"cluster {each['loc'][0]}", "Set ESQ_CLUSTER and ESQ_SUBNET to what can be."
            )
            for each in error.errors()
        ]
        raise ProblemsError("The zones cannot be called or numbered so", problems) from error
    state = environment.clusters / environment.cluster
    return Cluster(spec, state=state, tools=tools, vault=environment.vault)


def toolchain(steps: ProgressReporter) -> Toolchain:
    """Return the toolchain in the user's cache."""
    from infra.zones.toolchain import Toolchain  # noqa: PLC0415 - help needs none of it

    return Toolchain(cache=caches() / "toolchain", steps=steps)


def look(environment: Environment, steps: ProgressReporter) -> Ground:
    """Return the ground as it is; nothing is built or started."""
    tools = toolchain(steps)
    return Ground(environment, tools, zones(environment, tools) if environment.zones else None)


def stand(environment: Environment, steps: ProgressReporter) -> Ground:
    """Return the ground, with everything that was missing installed, built and started.

    Raises:
        ProblemsError: the machine cannot carry it; all reasons at once, and nothing was started.
    """
    ground = look(environment, steps)
    if ground.cluster is None:
        ground.tools.ensure(CONTROL_TOOLS, steps)
        return ground
    prepare(ground.cluster, steps)
    with steps.step("toolchain"):
        ground.tools.ensure(ZONE_TOOLS, steps)
    with steps.step("zones"):
        ground.cluster.up(steps)
    return ground


def prepare(cluster: Cluster, steps: ProgressReporter) -> None:
    """Install the packages that are missing, then ask for everything that still stands in the way."""
    from infra.zones import packages  # noqa: PLC0415 - a given cluster needs none of it

    install(packages.missing(), steps)
    with steps.step("preflight") as step:
        step.set_status("what this machine has")
        problems = cluster.preflight()
        if problems:
            raise ProblemsError("This machine cannot carry the zones as it is", problems)
        step.set_result("nothing in the way")
