"""The deployment target of an environment: the local three-zone cluster, or an existing cluster."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import platformdirs
from pydantic import ValidationError

from cli.actions.debian_packages import install
from cli.provider_process import PROGRAM, ProviderProcess
from cli.pulumi_engine import PulumiEngine
from infra.credentials import OffsiteStoreAccess
from infra.errors import EsqError, Problem, ProblemsError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from cli.environment import Environment
    from infra.progress import ProgressReporter
    from infra.zones import Cluster
    from infra.zones.toolchain import Toolchain

CONTROL_TOOLS = ("pulumi", "pulumi-kubernetes")
"""Tools of a deploy to any cluster."""
CLUSTER_TOOLS = ("kubernetes", "etcd", "coredns", "local-path-provisioner")
"""Tools of the local cluster."""
ZONE_TOOLS = (*CLUSTER_TOOLS, *CONTROL_TOOLS, "garage", "kafka")
"""The same, and the programs that the images contain."""

_REGISTRY_REMEDY = "Push the images to your registry and set ESQ_IMAGES to their digests, as JSON."


def cache_dir() -> Path:
    """Return the folder of everything that can be built again."""
    return platformdirs.user_cache_path("esq")


@dataclass(frozen=True)
class DeploymentTarget:
    """A cluster to deploy to.

    Attributes:
        environment: the environment that it runs.
        tools: the toolchain.
        cluster: the local cluster; None for an existing cluster.
    """

    environment: Environment
    tools: Toolchain
    cluster: Cluster | None

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of the cluster.

        Raises:
            TypeError: the environment has neither a local nor an existing cluster.
        """
        if self.cluster is not None:
            return self.cluster.kubeconfig
        if self.environment.external_kubeconfig is None:
            raise TypeError("an environment has either a local or an existing cluster")
        return self.environment.external_kubeconfig

    @property
    def address(self) -> str:
        """`https://...` of the edge; empty for an existing cluster."""
        return f"https://{self.cluster.address}" if self.cluster is not None else ""

    @cached_property
    def _provider(self) -> ProviderProcess:
        return ProviderProcess(self.tools.path(PROGRAM), self.kubeconfig)

    @cached_property
    def path(self) -> str:
        """PATH of the engine: its program and the provider."""
        folders = [str(self.tools.path(program).parent) for program in ("pulumi", PROGRAM)]
        return os.pathsep.join([*folders, os.environ.get("PATH", "")])

    @property
    def offsite_store(self) -> OffsiteStoreAccess | None:
        """The store of the off-site backups; None when none is configured.

        Raises:
            UsageError: ESQ_OFFSITE_STORE is invalid.
        """
        return self.cluster.offsite_store if self.cluster is not None else offsite_store_from_environment()

    def engine(self) -> PulumiEngine:
        """Return the Pulumi engine for this cluster."""
        return PulumiEngine(
            self.environment, path=self.path, kubeconfig=self.kubeconfig, provider=self._provider
        )

    def push_images(self, progress: ProgressReporter) -> dict[str, str]:
        """Build and push missing images; return image references by name.

        Raises:
            EsqError: existing cluster, and ESQ_IMAGES is not set.
        """
        if self.cluster is None:
            return images_from_environment()
        from infra.zones.images import Images  # noqa: PLC0415 - only the local cluster builds images

        images = Images(cache=cache_dir(), tools=self.tools)
        return images.push(registry=self.cluster.registry, ca=self.cluster.ca, steps=progress)


def images_from_environment() -> dict[str, str]:
    """Return the image references of ESQ_IMAGES, by name.

    Raises:
        EsqError: it is not set, or not a JSON object.
    """
    try:
        return dict(json.loads(os.environ["ESQ_IMAGES"]))
    except (KeyError, ValueError, TypeError) as error:
        raise EsqError(
            "an existing cluster requires images that it can pull",
            location="ESQ_IMAGES",
            remedy=_REGISTRY_REMEDY,
        ) from error


def offsite_store_from_environment() -> OffsiteStoreAccess | None:
    """Return the S3 store of ESQ_OFFSITE_STORE; None when it is not set.

    Raises:
        UsageError: it is not what `infra.credentials.OffsiteStoreAccess` describes.
    """
    text = os.environ.get("ESQ_OFFSITE_STORE")
    if not text:
        return None
    try:
        return OffsiteStoreAccess.model_validate_json(text)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, detail["loc"])) or "JSON" for detail in error.errors())
        raise UsageError(
            f"invalid off-site store: {fields}",
            location="ESQ_OFFSITE_STORE",
            remedy="Set it to JSON with url, region, bucket, key_id, key_secret and ca_certificate (PEM).",
        ) from error


def local_cluster(environment: Environment, tools: Toolchain) -> Cluster:
    """Return the local cluster of an environment, running or not.

    Args:
        environment: the environment.
        tools: the toolchain.

    Raises:
        ProblemsError: invalid name or subnet.
    """
    from infra.zones import Cluster, ClusterSpec  # noqa: PLC0415 - an existing cluster needs none of it

    try:
        spec = ClusterSpec.model_validate({"name": environment.cluster, "subnet": environment.subnet})
    except ValidationError as error:
        problems = [
            Problem(
                detail["msg"],
                f"cluster {detail['loc'][0]}",
                "Set ESQ_LOCAL_CLUSTER and ESQ_LOCAL_SUBNET to valid values.",
            )
            for detail in error.errors()
        ]
        raise ProblemsError("invalid cluster name or subnet", problems) from error
    state = environment.clusters_dir / environment.cluster
    return Cluster(spec, state=state, tools=tools, offsite_folder=environment.offsite_store_dir)


def open_toolchain(progress: ProgressReporter) -> Toolchain:
    """Return the toolchain in the user's cache."""
    from infra.zones.toolchain import Toolchain  # noqa: PLC0415 - help needs none of it

    return Toolchain(cache=cache_dir() / "toolchain", steps=progress)


def open_target(environment: Environment, progress: ProgressReporter) -> DeploymentTarget:
    """Return the deployment target of an environment; nothing is built or started.

    Args:
        environment: the environment.
        progress: reports builds of tools.
    """
    tools = open_toolchain(progress)
    cluster = local_cluster(environment, tools) if environment.is_local_cluster else None
    return DeploymentTarget(environment, tools, cluster)


def provision_target(environment: Environment, progress: ProgressReporter) -> DeploymentTarget:
    """Return the deployment target of an environment, with everything installed, built and started.

    Args:
        environment: the environment.
        progress: reports steps.

    Raises:
        ProblemsError: the machine does not meet the requirements; nothing was started.
    """
    target = open_target(environment, progress)
    if target.cluster is None:
        target.tools.ensure(CONTROL_TOOLS, progress)
        return target
    prepare_host(target.cluster, progress)
    with progress.step("toolchain"):
        target.tools.ensure(ZONE_TOOLS, progress)
    with progress.step("zones"):
        target.cluster.up(progress)
    return target


def prepare_host(cluster: Cluster, progress: ProgressReporter) -> None:
    """Install missing packages, then run the preflight checks.

    Args:
        cluster: the local cluster.
        progress: reports steps.

    Raises:
        ProblemsError: the machine does not meet the requirements; all problems at once.
    """
    from infra.zones import packages  # noqa: PLC0415 - an existing cluster needs none of it

    install(packages.missing(), progress)
    with progress.step("preflight") as step:
        step.set_status("requirements of this machine")
        problems = cluster.preflight()
        if problems:
            raise ProblemsError("this machine does not meet the requirements of the local cluster", problems)
        step.set_result("no problems")
