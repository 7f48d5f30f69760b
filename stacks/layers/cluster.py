"""The cluster layer: namespaces with their rules, and priority classes.

All pods of the platform are subject to the `restricted` pod security standard, enforced by the API server, so
that an incomplete manifest is rejected.

There are no NetworkPolicies yet, on purpose: the network of the local zones does not enforce them, and an
unenforced policy would suggest isolation that does not exist. Until then TLS and a password on every port
isolate the workloads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes.scheduling import v1 as scheduling

from infra.components import workload
from infra.names import DATA_NAMESPACE, ENVIRONMENT_LABEL, PART_OF_LABEL, PRODUCT, SERVICES_NAMESPACE

if TYPE_CHECKING:
    from infra.stack_settings import StackSettings

PRIORITY_CLASSES = {
    workload.DATA_PRIORITY_CLASS: (1_000_000, "Data layer: evicted last."),
    workload.SERVICES_PRIORITY_CLASS: (100_000, "Application: may be restarted anywhere."),
}

_POD_SECURITY_LABELS = {
    f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")
}


def program(settings: StackSettings) -> None:
    """Declare the layer."""
    for name in (DATA_NAMESPACE, SERVICES_NAMESPACE):
        labels = {**_POD_SECURITY_LABELS, PART_OF_LABEL: PRODUCT, ENVIRONMENT_LABEL: settings.environment}
        core.Namespace(name, metadata=meta.ObjectMetaArgs(name=name, labels=labels))
    for name, (value, description) in PRIORITY_CLASSES.items():
        metadata = meta.ObjectMetaArgs(name=name, labels={PART_OF_LABEL: PRODUCT})
        scheduling.PriorityClass(name, metadata=metadata, value=value, description=description)
    pulumi.export("namespaces", [DATA_NAMESPACE, SERVICES_NAMESPACE])
