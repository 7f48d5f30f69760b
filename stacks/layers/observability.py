"""The observability layer: its namespaces, then metrics, rules, pages, logs and traces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta

from infra.components.observability import ObservabilityArgs
from infra.components.observability.kubernetes import KubernetesObservability
from infra.names import (
    ENVIRONMENT_LABEL,
    NODE_AGENTS_NAMESPACE,
    OBJECT_STORE_ADMIN,
    OBSERVABILITY,
    OBSERVABILITY_NAMESPACE,
    PART_OF_LABEL,
    PRODUCT,
)

if TYPE_CHECKING:
    from infra.stack_settings import StackSettings

_POD_SECURITY = {OBSERVABILITY_NAMESPACE: "restricted", NODE_AGENTS_NAMESPACE: "privileged"}
"""Pod security standard by namespace. The agents mount a folder of their node, which no other permits."""


def program(settings: StackSettings) -> None:
    """Declare the layer."""
    namespaces = [_namespace(name, settings.environment) for name in _POD_SECURITY]
    KubernetesObservability(_arguments(settings), pulumi.ResourceOptions(depends_on=namespaces))
    pulumi.export("namespaces", list(_POD_SECURITY))


def _namespace(name: str, environment: str) -> core.Namespace:
    security = {
        f"pod-security.kubernetes.io/{mode}": _POD_SECURITY[name] for mode in ("enforce", "audit", "warn")
    }
    labels = {**security, PART_OF_LABEL: PRODUCT, ENVIRONMENT_LABEL: environment}
    return core.Namespace(name, metadata=meta.ObjectMetaArgs(name=name, labels=labels))


def _arguments(settings: StackSettings) -> ObservabilityArgs:
    credentials = settings.required_credentials
    return ObservabilityArgs(
        environment=settings.environment,
        namespace=OBSERVABILITY_NAMESPACE,
        node_namespace=NODE_AGENTS_NAMESPACE,
        image=settings.images["observability"],
        services_image=settings.images["services"],
        storage_class=settings.storage_class,
        zones=settings.zones,
        sizes=settings.sizes.observability,
        settings=settings.observability,
        password=credentials.observability.password,
        token=credentials.observability.token,
        certificate=credentials.certificates[OBSERVABILITY],
        object_store_certificate=credentials.certificates[OBJECT_STORE_ADMIN],
        ca_bundle=credentials.ca_bundle,
    )
