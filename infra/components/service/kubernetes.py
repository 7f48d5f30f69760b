"""A service as a Deployment: replicas in different zones, replaced one by one, none missed."""

from __future__ import annotations

import pulumi
from pulumi_kubernetes.apps import v1 as apps
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta

from infra.components import pod
from infra.components import workload as work
from infra.components.service import ServiceArgs, program
from services.contracts.ports import HEALTH_PATH, HTTP_PORT, LIVE_PATH

GRACE_SECONDS = 30
"""For a process to hand over its work after SIGTERM: it answers 3 s longer and drains for 15 s."""


class KubernetesService(pulumi.ComponentResource):
    """A process in several replicas.

    Attributes:
        name: of its Deployment and, if it listens, its Service.
    """

    name: str

    def __init__(self, args: ServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("esq:services:Process", args.name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        needs = program.ground(args, child)
        if args.listens:
            needs.append(_service(args, child))
        apps.Deployment(
            args.name,
            metadata=work.metadata(args.name, args.namespace),
            spec=_deployment(args),
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=needs)),
        )
        work.disruption_budget(args.name, args.namespace, child)
        self.name = args.name
        self.register_outputs({"name": args.name})


def _service(args: ServiceArgs, opts: pulumi.ResourceOptions) -> core.Service:
    metadata = work.metadata(args.name, args.namespace)
    # Its endpoints come from pods that are only made after it.
    metadata.annotations = {"pulumi.com/skipAwait": "true"}
    port = core.ServicePortArgs(name="https", port=HTTP_PORT, target_port=HTTP_PORT, node_port=args.node_port)
    offered = args.node_port is not None
    spec = core.ServiceSpecArgs(
        type="NodePort" if offered else "ClusterIP",
        selector=work.labels(args.name),
        ports=[port],
        # A zone without a pod refuses at once, so that the edge's health check of a zone tells the truth.
        external_traffic_policy="Local" if offered else None,
    )
    return core.Service(args.name, metadata=metadata, spec=spec, opts=opts)


def _spread(name: str) -> list[core.TopologySpreadConstraintArgs]:
    """Spread each generation of pods for itself: else a rolling update counts the old ones and leans over."""
    (constraint,) = work.one_per_zone(name)
    constraint.match_label_keys = ["pod-template-hash"]
    return [constraint]


def _deployment(args: ServiceArgs) -> apps.DeploymentSpecArgs:
    labels = work.labels(args.name)
    annotations = {work.DIGEST_ANNOTATION: program.digest(args)}
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
                priority_class_name=work.NORMAL,
                security_context=work.confined_pod(program.UID),
                topology_spread_constraints=_spread(args.name),
                tolerations=work.leave_lost_nodes(),
                termination_grace_period_seconds=GRACE_SECONDS,
                containers=[_container(args)],
                volumes=program.volumes(args),
            ),
        ),
    )


def _container(args: ServiceArgs) -> core.ContainerArgs:
    container = program.container(args)
    container.ports = [core.ContainerPortArgs(name="https", container_port=HTTP_PORT)]
    # A process that hangs gets no calls after ten seconds, by its readiness. To end it is the last resort: on
    # a machine that is short of processors every end is another start, and all of them at once never succeed.
    # Each question is a handshake: asked of every process every two seconds they took a twentieth of a core.
    container.startup_probe = pod.ask_https(LIVE_PATH, HTTP_PORT, period=1, failures=240)
    container.liveness_probe = pod.ask_https(LIVE_PATH, HTTP_PORT, period=20, failures=3, timeout=10)
    container.readiness_probe = pod.ask_https(HEALTH_PATH, HTTP_PORT, period=5, failures=2)
    return container
