"""Preview of a deploy: what it would install, build, start and change.

Nothing of that happens, except that the engine and its provider are built if they are missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.actions.deploy import image_names, load_layer_settings, preview_layers
from cli.actions.deployment_target import (
    CONTROL_TOOLS,
    OBSERVABILITY_TOOLS,
    ZONE_TOOLS,
    check_existing_cluster,
    open_target,
)
from cli.environment_store import EnvironmentStore
from infra.environment_record import OFFSITE_STORE
from infra.stack_settings import Layer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.actions.deployment_target import DeploymentTarget
    from cli.engine_results import StackResult
    from cli.environment import Environment
    from infra.progress import ProgressReporter

_NEW_DIGEST = f"sha256:{'0' * 64}"
"""Stands for the digest of an image that a deploy would build: everything that uses it would change."""


@dataclass(frozen=True)
class DeployPreview:
    """What a deploy would do.

    Attributes:
        preparations: what it would do before the layers, in words.
        layers: changes by layer; None when the cluster is not running, so that nothing can be compared.
    """

    preparations: list[str]
    layers: list[StackResult] | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        layers = None if self.layers is None else [result.to_dict() for result in self.layers]
        return {"preparations": self.preparations, "layers": layers}


def preview(
    environment: Environment,
    layers: Sequence[Layer],
    progress: ProgressReporter,
    targets: Sequence[str] = (),
) -> DeployPreview:
    """Return what a deploy would do. Only the engine and its provider are built, if they are missing.

    Args:
        environment: the environment.
        layers: the layers, in order.
        progress: reports steps.
        targets: names of the only resources to deploy; empty for all.
    """
    target = open_target(environment, progress)
    preparations = _host_preparations(target, layers)
    if target.cluster is not None and not target.cluster.status().running:
        return DeployPreview([*preparations, f"start the cluster `{environment.cluster}`"], None)
    if target.cluster is None:
        check_existing_cluster(target, progress)
    target.tools.ensure(CONTROL_TOOLS, progress)
    target.require_unchanged(may_change=(OFFSITE_STORE,))
    references = _image_references(target, layers)
    images = {name: reference or f"esq/{name}@{_NEW_DIGEST}" for name, reference in references.items()}
    preparations += [f"build the image {name}" for name, reference in references.items() if not reference]
    engine = target.engine()
    stored = EnvironmentStore(engine).read()
    loaded = load_layer_settings(engine, stored, target, images, layers, progress)
    return DeployPreview(preparations, preview_layers(engine, loaded.settings, progress, targets))


def _host_preparations(target: DeploymentTarget, layers: Sequence[Layer]) -> list[str]:
    if target.cluster is None:
        return []
    from infra.zones import packages  # noqa: PLC0415 - an existing cluster needs none of it

    statuses = target.tools.list()
    needed = (*ZONE_TOOLS, *(OBSERVABILITY_TOOLS if Layer.OBSERVABILITY in layers else ()))
    tools = [tool.name for tool in statuses if tool.origin == "missing" and tool.name in needed]
    missing = {"install Debian packages": packages.missing(), "build tools": tools}
    return [f"{action}: {', '.join(names)}" for action, names in missing.items() if names]


def _image_references(target: DeploymentTarget, layers: Sequence[Layer]) -> dict[str, str | None]:
    names = image_names(layers)
    return target.find_images(names) if names else {}
