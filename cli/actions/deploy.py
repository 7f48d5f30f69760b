"""Deploy of an environment as a list of idempotent steps.

A completed step takes almost no time when repeated. A failed step is named, and the same command resumes
there.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from cli.actions import stack_config, unchanged_deploy
from cli.actions.applied_credentials import wait_until_applied
from cli.actions.deployment_target import OBSERVABILITY_TOOLS, DeploymentTarget, provision_target
from cli.actions.health import Health, wait_until_healthy
from cli.actions.restore_operations import require_no_restore
from cli.environment_check import require_unchanged
from cli.environment_lock import hold_environment
from cli.environment_store import EnvironmentStore
from infra.components.pod_client import KubernetesPodClient
from infra.environment_record import OFFSITE_STORE
from infra.names import DATA_NAMESPACE
from infra.stack_settings import IMAGES, Layer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from cli.actions.stack_config import LoadedSettings
    from cli.engine_results import StackResult
    from cli.environment import Environment
    from cli.environment_lock import EnvironmentLock
    from cli.environment_store import StoredEnvironment
    from cli.pulumi_engine import PulumiEngine
    from infra.progress import ProgressReporter, ProgressStep
    from infra.stack_settings import StackSettings


@dataclass
class DeployResult:
    """Result of a deploy.

    Attributes:
        target: the deployment target.
        layers: results of the layers, in order.
        health: result of the health checks; None when only some layers were deployed.
    """

    target: DeploymentTarget
    layers: list[StackResult] = field(default_factory=list)
    health: Health | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "healthy": self.health is None or self.health.healthy,
            "layers": [result.to_dict() for result in self.layers],
            "address": self.target.address,
            "kubeconfig": str(self.target.kubeconfig),
        }


@dataclass(frozen=True)
class OpenedEnvironment:
    """An environment whose lock is held.

    Attributes:
        engine: its Pulumi engine.
        stored: what its environment stack holds; None when there is nothing, lost values included.
    """

    engine: PulumiEngine
    stored: StoredEnvironment | None


def layer_program(settings: StackSettings) -> Callable[[], None]:
    """Return the Pulumi program of a layer, bound to its settings."""
    # A layer's program imports the whole SDK.
    return partial(importlib.import_module(f"stacks.layers.{settings.layer}").program, settings)


def image_names(layers: Sequence[Layer]) -> tuple[str, ...]:
    """Return the names of the images that layers need."""
    return tuple(dict.fromkeys(name for layer in layers for name in IMAGES[layer]))


def push_images(
    target: DeploymentTarget, layers: Sequence[Layer], progress: ProgressReporter
) -> dict[str, str]:
    """Return image references by name; builds and pushes missing images for the local cluster.

    Args:
        target: the deployment target.
        layers: the layers that need images.
        progress: reports steps.
    """
    names = image_names(layers)
    if not names:
        return {}
    if target.cluster is not None and Layer.OBSERVABILITY in layers:
        target.tools.ensure(OBSERVABILITY_TOOLS, progress)
    with progress.step("images") as step:
        images = target.push_images(names, progress)
        step.set_result(f"{len(images)} by digest")
    return images


def load_layer_settings(  # noqa: PLR0913, PLR0917 - everything that settings come from
    engine: PulumiEngine,
    stored: StoredEnvironment | None,
    target: DeploymentTarget,
    images: Mapping[str, str],
    layers: Sequence[Layer],
    progress: ProgressReporter,
) -> LoadedSettings:
    """Return the settings of each layer, with images and the environment's credentials; saves nothing.

    Args:
        engine: the Pulumi engine.
        stored: what the environment stack holds.
        target: the deployment target.
        images: image references by name.
        layers: the layers.
        progress: reports steps.
    """
    with progress.step("settings and credentials") as step:
        loaded = stack_config.load_settings(target, engine, stored, images, layers)
        step.set_result(loaded.summary)
    return loaded


def open_engine(
    target: DeploymentTarget,
    lock: EnvironmentLock,
    progress: ProgressReporter,
    *,
    may_change: Collection[str] = (),
    during_restore: bool = False,
) -> OpenedEnvironment:
    """Return the engine of a running cluster, whose lock is held too; clears what a killed run left.

    Args:
        target: the deployment target.
        lock: the environment's lock.
        progress: reports a step when an earlier run did not complete.
        may_change: fields of `differences` that the command may change.
        during_restore: whether the command may run while an in-place restore is unfinished.

    Raises:
        EsqError: an in-place restore is unfinished.
        ProblemsError: the environment is not what its record says; the cluster was not touched.
        EnvironmentLockedError: a run on another machine uses the environment.
    """
    target.require_unchanged(may_change=may_change)
    lock.hold_cluster(target.kubeconfig)
    engine = target.engine()
    stored = EnvironmentStore(engine).read()
    # Again, not from the copy: another machine may have moved the environment to another cluster.
    require_unchanged(
        target.environment,
        target.current_record,
        lambda: stored.record if stored else None,
        may_change=may_change,
        use_copy=False,
    )
    if not during_restore:
        require_no_restore(target)
    if lock.incomplete:
        unchanged_deploy.forget(target.environment)
        with progress.step("state of the last run, which did not complete") as step:
            cleared = {layer.value: engine.recover(layer) for layer in Layer}
            step.set_result("; ".join(f"{layer}: {text}" for layer, text in cleared.items() if text))
        lock.mark_recovered()
    return OpenedEnvironment(engine, stored)


def save_environment(engine: PulumiEngine, loaded: LoadedSettings, progress: ProgressReporter) -> None:
    """Save the record and the credentials before anything uses them.

    Args:
        engine: the Pulumi engine.
        loaded: settings as they were loaded.
        progress: reports a step when they changed.
    """
    if loaded.current != loaded.stored:
        with progress.step("save record and credentials") as step:
            EnvironmentStore(engine).save(loaded.current, expected=loaded.stored, step=step)
            step.set_result(loaded.summary)
    if loaded.current.record is not None:
        engine.environment.save_record(loaded.current.record)


def preview_layers(
    engine: PulumiEngine,
    settings: Sequence[StackSettings],
    progress: ProgressReporter,
    targets: Sequence[str] = (),
) -> list[StackResult]:
    """Preview the layers.

    Args:
        engine: the Pulumi engine.
        settings: settings by layer, in order.
        progress: reports one step per layer.
        targets: names of the only resources to deploy; empty for all.

    Returns:
        The pending changes by layer, in the same order.
    """
    results = []
    for layer_settings in settings:
        with progress.step(f"preview {layer_settings.layer}") as step:
            result = engine.preview(layer_settings.layer, layer_program(layer_settings), step, targets)
            results.append(result)
            step.set_result(summarize(result))
    return results


def deploy(
    environment: Environment,
    layers: Sequence[Layer],
    progress: ProgressReporter,
    confirm: Callable[[Sequence[StackResult]], None] | None = None,
    targets: Sequence[str] = (),
) -> DeployResult:
    """Deploy layers of an environment.

    Args:
        environment: the environment.
        layers: the layers, in order.
        progress: reports steps.
        confirm: function that is called with the preview before any change, and raises to stop; None for no
            preview.
        targets: names of the only resources to deploy; empty for all.

    Returns:
        The deployed layers and the health of the environment.

    Raises:
        EsqError: a step failed; completed steps are kept.
    """
    with hold_environment(environment, "deploy") as lock:
        target = provision_target(environment, progress)
        opened = open_engine(target, lock, progress, may_change=(OFFSITE_STORE,))
        engine = opened.engine
        images = push_images(target, layers, progress)
        loaded = load_layer_settings(engine, opened.stored, target, images, layers, progress)
        is_complete = not targets and set(layers) >= set(environment.layers)
        if is_complete and loaded.current == loaded.stored:
            with progress.step("comparison with the last deploy") as step:
                unchanged = unchanged_deploy.unchanged_layers(target, loaded.settings)
                step.set_result("changes" if unchanged is None else "no changes")
            if unchanged is not None:
                trust_services_ca(target, loaded.settings)
                return check_health(DeployResult(target, unchanged), progress)
        if confirm is not None:
            confirm(preview_layers(engine, loaded.settings, progress, targets))
        save_environment(engine, loaded, progress)
        deployed = deploy_layers(target, engine, loaded.settings, progress, targets)
        if is_complete:
            unchanged_deploy.remember(target, loaded.settings, deployed.layers)
        return deployed


def deploy_layers(
    target: DeploymentTarget,
    engine: PulumiEngine,
    settings: Sequence[StackSettings],
    progress: ProgressReporter,
    targets: Sequence[str] = (),
) -> DeployResult:
    """Deploy layers whose credentials are saved.

    Args:
        target: the deployment target.
        engine: the Pulumi engine.
        settings: settings of the layers, in order.
        progress: reports a step per layer.
        targets: names of the resources to deploy; all if empty.

    Returns:
        The deployed layers and, with the services among them, the health of the environment.

    Raises:
        EsqError: a layer could not be deployed, or the environment is not healthy.
    """
    trust_services_ca(target, settings)
    deployed = DeployResult(target)
    engine.expect_runs(len(settings))
    for layer_settings in settings:
        deployed.layers.append(deploy_layer(engine, layer_settings, progress, targets))
        if layer_settings.layer == Layer.DATA and deployed.layers[-1].counts.get("update"):
            with progress.step("credentials of Postgres") as step:
                wait_until_applied(KubernetesPodClient(target.kubeconfig, DATA_NAMESPACE), step)
    if any(layer_settings.layer == Layer.SERVICES for layer_settings in settings):
        return check_health(deployed, progress)
    return deployed


def check_health(deployed: DeployResult, progress: ProgressReporter) -> DeployResult:
    """Wait until a deployed environment is healthy.

    Args:
        deployed: the deployed layers.
        progress: reports the step.

    Returns:
        The same result, with the health.

    Raises:
        EsqError: the environment is not healthy in time.
    """
    with progress.step("health checks") as step:
        deployed.health = wait_until_healthy(deployed.target.environment, deployed.target, step)
        step.set_result(deployed.health.summary)
    return deployed


def deploy_layer(
    engine: PulumiEngine,
    settings: StackSettings,
    progress: ProgressReporter,
    targets: Sequence[str] = (),
) -> StackResult:
    """Deploy one layer as a step.

    Args:
        engine: the Pulumi engine.
        settings: settings of the layer.
        progress: reports the step.
        targets: names of the only resources to deploy; empty for all.

    Returns:
        The changes made.
    """
    with progress.step(f"layer {settings.layer}") as step:
        return up_layer(engine, settings, step, targets)


def up_layer(
    engine: PulumiEngine, settings: StackSettings, step: ProgressStep, targets: Sequence[str] = ()
) -> StackResult:
    """Save the settings of a layer and deploy it.

    Args:
        engine: the Pulumi engine.
        settings: settings of the layer.
        step: shows resources in progress and the summary.
        targets: names of the only resources to deploy; empty for all.

    Returns:
        The changes made.
    """
    unchanged_deploy.forget(engine.environment)
    stack_config.save_settings(engine, settings)
    result = engine.up(settings.layer, layer_program(settings), step, targets)
    step.set_result(summarize(result))
    return result


def trust_services_ca(target: DeploymentTarget, settings: Sequence[StackSettings]) -> None:
    """Let the edge trust the environment's certificate authorities, which sign the services' certificates.

    Args:
        target: the deployment target.
        settings: settings of the layers.
    """
    if target.cluster is None:
        return
    bundles = {layer.credentials.ca_bundle for layer in settings if layer.credentials}
    for bundle in bundles:
        target.cluster.trust_backend_ca(bundle)


def summarize(result: StackResult) -> str:
    """Return the counts of changes in one line."""
    counts = {op: count for op, count in result.counts.items() if op != "same" and count}
    return ", ".join(f"{count} {op}" for op, count in sorted(counts.items())) or "no changes"
