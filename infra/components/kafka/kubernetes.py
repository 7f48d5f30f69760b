"""Kafka in KRaft mode: three pods, one per zone, that are brokers and controllers."""

from __future__ import annotations

from pathlib import Path

import pulumi
from pulumi_kubernetes.apps import v1 as apps
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta

from infra.components import pod, prober
from infra.components import workload as work
from infra.components.kafka import KafkaArgs, KafkaEndpoints
from infra.names import KAFKA_ADMIN, STATEFUL_REPLICAS, pod_dns, service_dns
from infra.render import kafka as render

NAME = "kafka"
UID = 1000
"""`esq` in the image."""


class KubernetesKafka(pulumi.ComponentResource):
    """Three nodes.

    Attributes:
        endpoints: where clients begin.
    """

    endpoints: KafkaEndpoints

    def __init__(self, args: KafkaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("esq:data:Kafka", NAME, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        config, secrets = _config(args), _secrets(args)
        metadata = work.metadata(NAME, args.namespace)
        needs: list[pulumi.Resource] = [
            core.ConfigMap(NAME, metadata=metadata, data=config, opts=child),
            core.Secret(NAME, metadata=metadata, string_data=pulumi.Output.secret(secrets), opts=child),
            core.ServiceAccount(NAME, metadata=metadata, automount_service_account_token=False, opts=child),
            _service(args.namespace, child),
        ]
        apps.StatefulSet(
            NAME,
            metadata=metadata,
            spec=_stateful_set(args, work.digest(config, secrets)),
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=needs)),
        )
        work.disruption_budget(NAME, args.namespace, child)
        bootstrap = f"{service_dns(NAME, args.namespace)}:{render.CLIENT_PORT}"
        self.endpoints = KafkaEndpoints(bootstrap, render.MECHANISM)
        self.register_outputs({"bootstrap": bootstrap, "mechanism": render.MECHANISM})


def _config(args: KafkaArgs) -> dict[str, str]:
    voters = [pod_dns(f"{NAME}-{number}", NAME, args.namespace) for number in range(STATEFUL_REPLICAS)]
    return {
        "server.properties": render.server(voters),
        "log4j2.properties": render.logging(),
        "prepare.sh": render.prepare(),
        "probe.py": Path(__file__).with_name("probe.py").read_text(),
        "prober.py": Path(prober.__file__).read_text(),
    }


def _secrets(args: KafkaArgs) -> dict[str, str]:
    clients = {KAFKA_ADMIN: args.credentials.admin, **args.credentials.services}
    return {
        "users.properties": render.users(broker=args.credentials.broker, clients=clients),
        "admin": args.credentials.admin,
        "keystore.pem": args.certificate.key + args.certificate.certificate,
        "ca.crt": args.authority,
    }


def _service(namespace: str, opts: pulumi.ResourceOptions) -> core.Service:
    metadata = work.metadata(NAME, namespace)
    # Its endpoints come from pods that are only made after it.
    metadata.annotations = {"pulumi.com/skipAwait": "true"}
    spec = core.ServiceSpecArgs(
        cluster_ip="None",
        selector=work.labels(NAME),
        # Controllers find each other by name before any of them is ready.
        publish_not_ready_addresses=True,
        ports=[
            core.ServicePortArgs(name="clients", port=render.CLIENT_PORT),
            core.ServicePortArgs(name="brokers", port=render.BROKER_PORT),
            core.ServicePortArgs(name="controllers", port=render.CONTROLLER_PORT),
        ],
    )
    return core.Service(NAME, metadata=metadata, spec=spec, opts=opts)


def _stateful_set(args: KafkaArgs, digest: str) -> apps.StatefulSetSpecArgs:
    labels = work.labels(NAME)
    return apps.StatefulSetSpecArgs(
        service_name=NAME,
        replicas=STATEFUL_REPLICAS,
        # All at once: no controller is ready before two of them are there.
        pod_management_policy="Parallel",
        selector=meta.LabelSelectorArgs(match_labels=labels),
        volume_claim_templates=[work.claim("data", args.storage_class, args.size)],
        template=core.PodTemplateSpecArgs(
            metadata=meta.ObjectMetaArgs(labels=labels, annotations={work.DIGEST_ANNOTATION: digest}),
            spec=core.PodSpecArgs(
                service_account_name=NAME,
                automount_service_account_token=False,
                priority_class_name=work.CRITICAL,
                security_context=work.confined_pod(UID),
                topology_spread_constraints=work.one_per_zone(NAME),
                affinity=work.never_together(NAME),
                tolerations=work.stay_on_lost_nodes(),
                # A broker moves its leaderships away before it goes.
                termination_grace_period_seconds=45,
                init_containers=[_prepare(args)],
                containers=[_node(args), _prober(args)],
                volumes=[
                    pod.config_files("config", NAME, mode=0o555),
                    pod.secret_files("secrets", NAME),
                    pod.scratch("run", memory=True, limit="1Mi"),
                    pod.scratch("tmp"),
                ],
            ),
        ),
    )


def _mounts() -> list[core.VolumeMountArgs]:
    return [
        pod.mount("data", "/var/lib/kafka"),
        pod.mount("config", "/etc/esq/kafka", read_only=True),
        pod.mount("secrets", "/etc/esq/tls", read_only=True),
        pod.mount("secrets", "/etc/esq/users", read_only=True),
        pod.mount("run", "/run/kafka"),
        pod.mount("tmp", "/tmp"),  # noqa: S108 - the pod's own; native libraries are unpacked there
    ]


def _prepare(args: KafkaArgs) -> core.ContainerArgs:
    return core.ContainerArgs(
        name="prepare",
        image=args.image,
        command=["/etc/esq/kafka/prepare.sh"],
        env=[
            pod.env("ESQ_DOMAIN", service_dns(NAME, args.namespace)),
            pod.env("ESQ_CLUSTER_ID", args.credentials.cluster_id),
        ],
        resources=work.resources(args.size),
        security_context=work.confined_container(),
        volume_mounts=_mounts(),
    )


def _node(args: KafkaArgs) -> core.ContainerArgs:
    return core.ContainerArgs(
        name=NAME,
        image=args.image,
        command=["java", *_jvm(args.heap), "kafka.Kafka", render.PROPERTIES],
        env=[pod.env_secret("ESQ_KAFKA_PASSWORD", NAME, "admin")],
        ports=[
            core.ContainerPortArgs(name="clients", container_port=render.CLIENT_PORT),
            core.ContainerPortArgs(name="brokers", container_port=render.BROKER_PORT),
            core.ContainerPortArgs(name="controllers", container_port=render.CONTROLLER_PORT),
        ],
        resources=work.resources(args.size),
        security_context=work.confined_container(),
        # Does it answer a client at all? And: does the quorum know it, and is it in sync wherever it has a
        # copy?
        startup_probe=pod.ask_http("/live", prober.PORT, period=2, failures=90, timeout=5),
        liveness_probe=pod.ask_http("/live", prober.PORT, period=30, failures=4, timeout=10),
        readiness_probe=pod.ask_http("/ready", prober.PORT, period=10, failures=3, timeout=8),
        volume_mounts=_mounts(),
    )


def _prober(args: KafkaArgs) -> core.ContainerArgs:
    env = [pod.env_secret("ESQ_KAFKA_PASSWORD", NAME, "admin")]
    return work.prober(args.image, "/etc/esq/kafka", args.prober, env, _mounts())


def _jvm(heap: str) -> list[str]:
    return [
        f"-Xms{heap}",
        f"-Xmx{heap}",
        # One collector thread and one compiler: smaller, and sooner there.
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:MaxDirectMemorySize=64m",
        "-XX:+ExitOnOutOfMemoryError",
        "-Dlog4j2.configurationFile=/etc/esq/kafka/log4j2.properties",
        "-cp",
        "/opt/kafka/libs/*",
    ]
