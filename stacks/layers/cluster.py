"""The cluster layer: namespaces with their rules, and what may be evicted before what.

Every pod of the platform lives under the `restricted` pod security standard, enforced by the API server, so
that a manifest that forgot something is refused rather than run.

There are no NetworkPolicies yet, on purpose: the network of the local zones enforces none, and a rule that
nobody enforces is a false promise. What keeps neighbours apart until then is TLS and a password on every
port.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes.scheduling import v1 as scheduling

from infra.components import workload
from infra.names import DATA_NAMESPACE, PART_OF_LABEL, PRODUCT, SERVICES_NAMESPACE

if TYPE_CHECKING:
    from infra.config import StackSettings

PRIORITIES = {
    workload.CRITICAL: (1_000_000, "Holds truth: evicted last."),
    workload.NORMAL: (100_000, "The application: may be started again anywhere."),
}

_STANDARD = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}


def program(settings: StackSettings) -> None:
    """Declare the layer."""
    for name in (DATA_NAMESPACE, SERVICES_NAMESPACE):
        labels = {**_STANDARD, PART_OF_LABEL: PRODUCT, "esq/environment": settings.environment}
        core.Namespace(name, metadata=meta.ObjectMetaArgs(name=name, labels=labels))
    for name, (value, description) in PRIORITIES.items():
        metadata = meta.ObjectMetaArgs(name=name)
        scheduling.PriorityClass(name, metadata=metadata, value=value, description=description)
    pulumi.export("namespaces", [DATA_NAMESPACE, SERVICES_NAMESPACE])
