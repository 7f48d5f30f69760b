"""The observability layer as Kubernetes objects."""

from __future__ import annotations

import pulumi
from pulumi_kubernetes.core import v1 as core

from infra.components import workload
from infra.components.observability import (
    ObservabilityArgs,
    access,
    logs,
    metrics,
    objects,
    pages,
    parts,
)


class KubernetesObservability(pulumi.ComponentResource):
    """All parts of the layer."""

    def __init__(self, args: ObservabilityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("esq:observability:Layer", "observability", None, opts)
        child = pulumi.ResourceOptions(parent=self)
        access.declare(args, child)
        secrets = _secrets(args, child)
        pages.declare_gateway(args, child)
        after_secrets = pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=secrets))
        for part in (
            *(metrics.part(args), pages.part(args), logs.part(args)),
            *(logs.receiver(args), objects.part(args)),
        ):
            parts.declare(part, args, after_secrets)
        logs.declare_agents(args, child)
        self.register_outputs({})


def _secrets(args: ObservabilityArgs, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
    """Declare the Secrets that pods mount besides their own."""
    client = args.object_store_certificate
    contents = {
        parts.SECRET: parts.secret_files(args),
        metrics.OBJECT_STORE_CLIENT: {"tls.crt": client.certificate, "tls.key": client.key},
    }
    return [
        core.Secret(
            name,
            metadata=workload.metadata(name, args.namespace),
            string_data=pulumi.Output.secret(files),
            opts=opts,
        )
        for name, files in contents.items()
    ]
