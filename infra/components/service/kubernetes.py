"""A service as a Deployment: replicas in different zones, replaced one by one without a gap."""

from __future__ import annotations

import pulumi
from pulumi_kubernetes.apps import v1 as apps
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta

from infra.components import pod_spec, workload
from infra.components.service import ServiceArgs, container_spec
from infra.names import DIGEST_ANNOTATION
from services.contracts.endpoints import HTTP_PORT, LIVENESS_PATH, READINESS_PATH

TERMINATION_GRACE_SECONDS = 30
"""For a process to finish after SIGTERM: it continues to answer for 3 s and drains for 15 s."""


class KubernetesService(pulumi.ComponentResource):
    """An application process with several replicas.

    Attributes:
        name: name of its Deployment and, if others call it, its Service.
    """

    name: str

    def __init__(self, args: ServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("esq:services:Process", args.name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        prerequisites = container_spec.declare_prerequisites(args, child)
        if args.has_service:
            prerequisites.append(_service(args, child))
        apps.Deployment(
            args.name,
            metadata=workload.metadata(args.name, args.namespace),
            spec=_deployment(args),
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=prerequisites)),
        )
        workload.disruption_budget(args.name, args.namespace, child)
        self.name = args.name
        self.register_outputs({"name": args.name})


def _service(args: ServiceArgs, opts: pulumi.ResourceOptions) -> core.Service:
    metadata = workload.metadata(args.name, args.namespace)
    # Its endpoints come from pods that are created after it.
    metadata.annotations = {"pulumi.com/skipAwait": "true"}
    port = core.ServicePortArgs(name="https", port=HTTP_PORT, target_port=HTTP_PORT, node_port=args.node_port)
    is_public = args.node_port is not None
    spec = core.ServiceSpecArgs(
        type="NodePort" if is_public else "ClusterIP",
        selector=workload.labels(args.name),
        ports=[port],
        # A zone without a pod refuses connections, so the edge's health check reflects the pods of the zone.
        external_traffic_policy="Local" if is_public else None,
    )
    return core.Service(args.name, metadata=metadata, spec=spec, opts=opts)


def _zone_spread_per_revision(name: str) -> list[core.TopologySpreadConstraintArgs]:
    """Spread each revision separately: otherwise a rolling update counts old pods and ends unbalanced."""
    (constraint,) = workload.zone_topology_spread(name)
    constraint.match_label_keys = ["pod-template-hash"]
    return [constraint]


def _deployment(args: ServiceArgs) -> apps.DeploymentSpecArgs:
    labels = workload.labels(args.name)
    annotations = {DIGEST_ANNOTATION: container_spec.digest(args)}
    return apps.DeploymentSpecArgs(
        replicas=args.replicas,
        selector=meta.LabelSelectorArgs(match_labels=labels),
        progress_deadline_seconds=180,
        revision_history_limit=3,
        strategy=apps.DeploymentStrategyArgs(
            type="RollingUpdate",
            rolling_update=apps.RollingUpdateDeploymentArgs(max_unavailable=0, max_surge=1),
        ),
        template=core.PodTemplateSpecArgs(
            metadata=meta.ObjectMetaArgs(labels=labels, annotations=annotations),
            spec=core.PodSpecArgs(
                service_account_name=args.name,
                automount_service_account_token=False,
                enable_service_links=False,
                priority_class_name=workload.SERVICES_PRIORITY_CLASS,
                security_context=workload.restricted_pod_security(container_spec.UID),
                affinity=workload.zone_affinity(args.zones),
                topology_spread_constraints=_zone_spread_per_revision(args.name),
                tolerations=workload.evict_from_lost_node(),
                termination_grace_period_seconds=TERMINATION_GRACE_SECONDS,
                containers=[_container(args)],
                volumes=container_spec.volumes(args),
            ),
        ),
    )


def _container(args: ServiceArgs) -> core.ContainerArgs:
    container = container_spec.container(args)
    container.ports = [core.ContainerPortArgs(name="https", container_port=HTTP_PORT)]
    # Readiness removes a hanging process from its Service after ten seconds. Killing it is the last resort:
    # under CPU contention each kill means another start, and if all pods restart at once, none succeeds. Each
    # probe is a TLS handshake: at one probe every two seconds of every process they took 5 % of a core.
    container.startup_probe = pod_spec.https_probe(LIVENESS_PATH, HTTP_PORT, period=1, failures=240)
    container.liveness_probe = pod_spec.https_probe(
        LIVENESS_PATH, HTTP_PORT, period=20, failures=3, timeout=10
    )
    container.readiness_probe = pod_spec.https_probe(READINESS_PATH, HTTP_PORT, period=5, failures=2)
    return container
