"""The deployment target of an environment: the local three-zone cluster, or an existing cluster."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import platformdirs
import yaml
from pydantic import ValidationError

from cli.actions.debian_packages import install
from cli.actions.offsite_store import offsite_store_access
from cli.environment_check import require_unchanged
from cli.provider_process import PROGRAM, ProviderProcess
from infra.cluster_identity import cluster_uid, deployed_environment
from infra.environment_record import EnvironmentRecord
from infra.errors import EsqError, Problem, ProblemsError, UsageError
from infra.files import write_atomically
from infra.kubeconfig import select_context
from infra.names import LOAD_IMAGE
from infra.progress import RecordingProgress
from infra.version import version

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from cli.environment import Environment
    from cli.pulumi_engine import PulumiEngine
    from infra.credentials import OffsiteStoreAccess
    from infra.environment_definition import ExistingCluster
    from infra.progress import ProgressReporter
    from infra.zones import Cluster
    from infra.zones.toolchain import Toolchain

CONTROL_TOOLS = ("pulumi", "pulumi-kubernetes")
"""Tools of a deploy to any cluster."""
CLUSTER_TOOLS = ("kubernetes", "etcd", "coredns", "local-path-provisioner")
"""Tools of the local cluster."""
LOAD_RECIPE = "infra/zones/images/loadtests"
ZONE_TOOLS = (*CLUSTER_TOOLS, *CONTROL_TOOLS, "garage", "kafka")
"""The same, and the programs that the images contain."""
OBSERVABILITY_TOOLS = ("victoria-metrics", "victoria-logs")
"""Tools of the observability layer: its image contains them, and only its deploy builds them."""


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
        kubeconfig: kubeconfig of the cluster.
    """

    environment: Environment
    tools: Toolchain
    cluster: Cluster | None
    kubeconfig: Path

    @property
    def address(self) -> str:
        """`https://...` of the edge; empty for an existing cluster without a public address."""
        if self.cluster is None:
            return self.environment.definition.public_address or ""
        return f"https://{self.cluster.address}"

    @property
    def edge_ca(self) -> Path | None:
        """CA certificate of the edge; None for the CAs that this machine trusts."""
        return self.environment.definition.public_ca_certificate if self.cluster is None else self.cluster.ca

    @cached_property
    def _provider(self) -> ProviderProcess:
        return ProviderProcess(self.tools.path(PROGRAM), self.kubeconfig)

    @cached_property
    def path(self) -> str:
        """PATH of the engine: its program and the provider."""
        folders = [str(self.tools.path(program).parent) for program in ("pulumi", PROGRAM)]
        return os.pathsep.join([*folders, os.environ.get("PATH", "")])

    def offsite_store(self, stored: OffsiteStoreAccess | None) -> OffsiteStoreAccess | None:
        """Return the store of the off-site backups; None when there is none.

        Args:
            stored: access of the last deploy; None at the first deploy.

        Raises:
            UsageError: its access key is unknown.
        """
        if self.cluster is None:
            return offsite_store_access(self.environment, stored)
        return self.cluster.offsite_store

    @cached_property
    def current_record(self) -> EnvironmentRecord:
        """What the environment is bound to now; reads the identity of the running cluster, once.

        Raises:
            EsqError: the cluster is unreachable.
        """
        store = self.environment.definition.offsite_store
        return EnvironmentRecord(
            environment=self.environment.name,
            backend=self.environment.backend,
            cluster_uid=cluster_uid(self.kubeconfig),
            offsite_store=store.name if store else None,
            secrets_provider=self.environment.definition.secrets_provider,
            version=version(),
        )

    def require_unchanged(
        self, *, may_change: Collection[str] = (), use_copy: bool = True
    ) -> EnvironmentRecord | None:
        """Require that the environment is what its record says.

        Args:
            may_change: fields of `differences` that the command may change.
            use_copy: whether a copy of the record on this machine is enough.

        Returns:
            The record; None for an environment that was never deployed.

        Raises:
            ProblemsError: everything that differs.
            EsqError: the cluster is unreachable.
        """
        return require_unchanged(
            self.environment,
            self.current_record,
            self._read_record,
            may_change=may_change,
            use_copy=use_copy,
        )

    def _read_record(self) -> EnvironmentRecord | None:
        self.tools.ensure(CONTROL_TOOLS, RecordingProgress())
        from cli.environment_store import EnvironmentStore  # noqa: PLC0415 - imports the whole SDK

        stored = EnvironmentStore(self.engine()).read()
        return stored.record if stored else None

    def engine(self) -> PulumiEngine:
        """Return the Pulumi engine for this cluster."""
        from cli.pulumi_engine import PulumiEngine  # noqa: PLC0415 - imports the whole SDK

        return PulumiEngine(
            self.environment, path=self.path, kubeconfig=self.kubeconfig, provider=self._provider
        )

    def push_images(self, names: Collection[str], progress: ProgressReporter) -> dict[str, str]:
        """Return image references by name; builds and pushes missing images for the local cluster.

        Args:
            names: names of the images.
            progress: reports steps.
        """
        if self.cluster is None:
            return dict(self.environment.definition.images or {})
        from infra.zones.images import Images  # noqa: PLC0415 - only the local cluster builds images

        images = Images(cache=cache_dir(), tools=self.tools)
        return images.push(self.cluster.registry_access, progress, names)

    def push_load_image(self, progress: ProgressReporter) -> str:
        """Return the reference of the image of the load generators.

        Args:
            progress: reports the build for the local cluster.

        Raises:
            UsageError: the definition of an environment with an existing cluster names none.
        """
        if self.cluster is None:
            return _load_image_of(self.environment)
        from infra.zones.images import Images  # noqa: PLC0415 - only the local cluster builds images

        images = Images(cache=cache_dir(), tools=self.tools)
        names = (LOAD_IMAGE,)
        return images.push(self.cluster.registry_access, progress, names)[LOAD_IMAGE]

    def find_images(self, names: Collection[str]) -> dict[str, str | None]:
        """Return image references by name; None for an image that `push_images` would build or push.

        Without the tools that images contain, that is all of them.

        Args:
            names: names of the images.
        """
        if self.cluster is None:
            return {**(self.environment.definition.images or {})}
        from infra.zones.images import Images, contexts  # noqa: PLC0415 - only the local cluster builds images

        if self.tools.missing(contexts.TOOLS):
            return dict.fromkeys(names)
        images = Images(cache=cache_dir(), tools=self.tools)
        references = images.find(self.cluster.registry_access, names)
        return {name: references.get(name) for name in names}


def _load_image_of(environment: Environment) -> str:
    """Return the image of the load generators that a definition names."""
    try:
        return (environment.definition.images or {})[LOAD_IMAGE]
    except KeyError:
        raise UsageError(
            f"`{environment.name}` names no image of the load generators",
            location=f"{environment.name}.yaml: images",
            remedy=f"Build it from {LOAD_RECIPE}, push it to a registry of the cluster, and add "
            f"`{LOAD_IMAGE}: REPOSITORY@sha256:DIGEST`.",
        ) from None


def write_kubeconfig(environment: Environment, cluster: ExistingCluster) -> Path:
    """Write the kubeconfig of an existing cluster's context into the environment's folder, owner-only.

    Everything uses this file, so that nothing can follow another context. Each cluster has a file of its own:
    commands that undo a fault name it, and must not reach another cluster after the definition has changed.

    Args:
        environment: the environment.
        cluster: its cluster.

    Returns:
        The path of the file.

    Raises:
        UsageError: the kubeconfig of the definition is invalid, or has no such context.
    """
    document = select_context(cluster.kubeconfig, cluster.context)
    environment.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    identity = hashlib.sha256(json.dumps(document["clusters"], sort_keys=True).encode()).hexdigest()[:8]
    return write_atomically(environment.folder / f"kubeconfig-{identity}", yaml.safe_dump(document))


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

    Raises:
        UsageError: the kubeconfig of an existing cluster is invalid.
    """
    tools = open_toolchain(progress)
    if existing_cluster := environment.definition.existing_cluster:
        kubeconfig = write_kubeconfig(environment, existing_cluster)
        return DeploymentTarget(environment, tools, None, kubeconfig)
    cluster = local_cluster(environment, tools)
    return DeploymentTarget(environment, tools, cluster, cluster.kubeconfig)


def open_deployed_target(
    environment: Environment, progress: ProgressReporter, *, use_copy: bool = True
) -> DeploymentTarget:
    """Return the deployment target of an environment that is deployed, and is what its record says.

    Args:
        environment: the environment.
        progress: reports builds of tools.
        use_copy: whether a copy of the record on this machine is enough; not for a command whose effect in
            an abandoned cluster would be harmful.

    Raises:
        EsqError: the environment is not deployed, or its cluster is unreachable.
        ProblemsError: it is bound to something else than at its last deploy.
    """
    target = open_target(environment, progress)
    # The kubeconfig of an existing cluster is always there, and may name the cluster of another environment.
    if (
        not target.kubeconfig.is_file()
        or target.require_unchanged(use_copy=use_copy) is None
        or deployed_environment(target.kubeconfig) != environment.name
    ):
        raise EsqError(
            f"`{environment.name}` is not deployed",
            location=str(target.kubeconfig),
            remedy=f"Deploy it: `esq deploy {environment.name}`; if lost: `esq recover {environment.name}`.",
        )
    return target


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
        check_existing_cluster(target, progress)
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


def check_existing_cluster(target: DeploymentTarget, progress: ProgressReporter) -> None:
    """Run the preflight checks of an existing cluster.

    Args:
        target: the deployment target.
        progress: reports the step.

    Raises:
        ProblemsError: the cluster does not meet the requirements; all problems at once.
        EsqError: it is unreachable.
    """
    from infra import cluster_preflight  # noqa: PLC0415 - the local cluster needs none of it

    with progress.step("preflight") as step:
        step.set_status("requirements of the cluster")
        problems = cluster_preflight.check(target.kubeconfig, target.environment.definition)
        if problems:
            raise ProblemsError("the cluster does not meet the requirements", problems)
        step.set_result("no problems")
