"""Kafka in KRaft mode: three pods, one per zone, each broker and controller."""

from __future__ import annotations

from pathlib import Path

import pulumi
from pulumi_kubernetes.apps import v1 as apps
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta

from infra.components import pod_spec, workload
from infra.components.kafka import KafkaArgs, KafkaEndpoints
from infra.components.pod_programs import probe_server
from infra.config_files import kafka as kafka_config
from infra.names import DIGEST_ANNOTATION, STATEFUL_REPLICAS, pod_dns, service_dns

NAME = "kafka"
UID = 1000
"""`esq` in the image."""

_PROBE = Path(__file__).with_name("pod_programs") / "probe.py"


class KubernetesKafka(pulumi.ComponentResource):
    """Three Kafka nodes, each a broker and a controller.

    Attributes:
        endpoints: endpoints for clients.
    """

    endpoints: KafkaEndpoints

    def __init__(self, args: KafkaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("esq:data:Kafka", NAME, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        config, secrets = _config(args), _secrets(args)
        metadata = workload.metadata(NAME, args.namespace)
        prerequisites: list[pulumi.Resource] = [
            core.ConfigMap(NAME, metadata=metadata, data=config, opts=child),
            core.Secret(NAME, metadata=metadata, string_data=pulumi.Output.secret(secrets), opts=child),
            core.ServiceAccount(NAME, metadata=metadata, automount_service_account_token=False, opts=child),
            _service(args.namespace, child),
        ]
        apps.StatefulSet(
            NAME,
            metadata=metadata,
            spec=_stateful_set(args, workload.digest(config, secrets)),
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=prerequisites)),
        )
        workload.disruption_budget(NAME, args.namespace, child)
        bootstrap = f"{service_dns(NAME, args.namespace)}:{kafka_config.CLIENT_PORT}"
        self.endpoints = KafkaEndpoints(bootstrap, kafka_config.MECHANISM)
        self.register_outputs({"bootstrap": bootstrap, "mechanism": kafka_config.MECHANISM})


def _config(args: KafkaArgs) -> dict[str, str]:
    voters = [pod_dns(f"{NAME}-{number}", NAME, args.namespace) for number in range(STATEFUL_REPLICAS)]
    return {
        "server.properties": kafka_config.render_server_properties(voters, _super_users(args)),
        "log4j2.properties": kafka_config.render_log4j2_properties(),
        "prepare.sh": kafka_config.render_prepare_script(),
        "probe.py": _PROBE.read_text(),
        "probe_server.py": Path(probe_server.__file__).read_text(),
    }


def _super_users(args: KafkaArgs) -> list[str]:
    return sorted(name for accounts in args.accounts for name in (accounts.node, accounts.admin))


def _secrets(args: KafkaArgs) -> dict[str, str]:
    used = args.accounts[0]
    nodes = {accounts.node: accounts.credentials.broker for accounts in args.accounts}
    clients = {name: value for accounts in args.accounts for name, value in accounts.clients.items()}
    return {
        "users.properties": kafka_config.render_users_properties(nodes=nodes, clients=clients),
        # Name and password come from one Secret: a container that restarts during a rotation gets a pair.
        "admin-user": used.admin,
        "admin": used.credentials.admin,
        "keystore.pem": args.certificate.key + args.certificate.certificate,
        "ca.crt": args.ca_bundle,
    }


def _service(namespace: str, opts: pulumi.ResourceOptions) -> core.Service:
    metadata = workload.metadata(NAME, namespace)
    # Its endpoints come from pods that are created after it.
    metadata.annotations = {"pulumi.com/skipAwait": "true"}
    spec = core.ServiceSpecArgs(
        cluster_ip="None",
        selector=workload.labels(NAME),
        # Controllers look each other up by name before any of them is ready.
        publish_not_ready_addresses=True,
        ports=[
            core.ServicePortArgs(name="clients", port=kafka_config.CLIENT_PORT),
            core.ServicePortArgs(name="brokers", port=kafka_config.BROKER_PORT),
            core.ServicePortArgs(name="controllers", port=kafka_config.CONTROLLER_PORT),
        ],
    )
    return core.Service(NAME, metadata=metadata, spec=spec, opts=opts)


def _stateful_set(args: KafkaArgs, digest: str) -> apps.StatefulSetSpecArgs:
    labels = workload.labels(NAME)
    return apps.StatefulSetSpecArgs(
        service_name=NAME,
        replicas=STATEFUL_REPLICAS,
        # Concurrently: no controller is ready before two of them run.
        pod_management_policy="Parallel",
        selector=meta.LabelSelectorArgs(match_labels=labels),
        volume_claim_templates=[workload.volume_claim_template("data", args.storage_class, args.size)],
        template=core.PodTemplateSpecArgs(
            metadata=meta.ObjectMetaArgs(labels=labels, annotations={DIGEST_ANNOTATION: digest}),
            spec=core.PodSpecArgs(
                service_account_name=NAME,
                automount_service_account_token=False,
                priority_class_name=workload.DATA_PRIORITY_CLASS,
                security_context=workload.restricted_pod_security(UID),
                topology_spread_constraints=workload.zone_topology_spread(NAME),
                affinity=workload.replica_affinity(NAME, args.zones),
                tolerations=workload.tolerate_lost_node(),
                # A broker moves its leaderships to others before it stops.
                termination_grace_period_seconds=45,
                init_containers=[_prepare(args)],
                containers=[_node(args), _probe_server(args)],
                volumes=[
                    pod_spec.config_files("config", NAME, mode=0o555),
                    pod_spec.secret_files("secrets", NAME),
                    pod_spec.empty_dir("run", in_memory=True, size_limit="1Mi"),
                    pod_spec.empty_dir("tmp"),
                ],
            ),
        ),
    )


def _mounts() -> list[core.VolumeMountArgs]:
    return [
        pod_spec.mount("data", "/var/lib/kafka"),
        pod_spec.mount("config", "/etc/esq/kafka", read_only=True),
        pod_spec.mount("secrets", "/etc/esq/tls", read_only=True),
        pod_spec.mount("secrets", "/etc/esq/users", read_only=True),
        pod_spec.mount("run", "/run/kafka"),
        pod_spec.mount("tmp", "/tmp"),  # noqa: S108 - the pod's own; native libraries are extracted to it
    ]


def _prepare(args: KafkaArgs) -> core.ContainerArgs:
    return core.ContainerArgs(
        name="prepare",
        image=args.image,
        command=["/etc/esq/kafka/prepare.sh"],
        env=[
            pod_spec.env("ESQ_DOMAIN", service_dns(NAME, args.namespace)),
            pod_spec.env("ESQ_CLUSTER_ID", args.accounts[0].credentials.cluster_id),
        ],
        resources=workload.resources(args.size),
        security_context=workload.restricted_container_security(),
        volume_mounts=_mounts(),
    )


def _node(args: KafkaArgs) -> core.ContainerArgs:
    return core.ContainerArgs(
        name=NAME,
        image=args.image,
        command=["java", *_jvm(args.heap), "kafka.Kafka", kafka_config.PROPERTIES_FILE],
        env=_admin_login(),
        ports=[
            core.ContainerPortArgs(name="clients", container_port=kafka_config.CLIENT_PORT),
            core.ContainerPortArgs(name="brokers", container_port=kafka_config.BROKER_PORT),
            core.ContainerPortArgs(name="controllers", container_port=kafka_config.CONTROLLER_PORT),
        ],
        resources=workload.resources(args.size),
        security_context=workload.restricted_container_security(),
        # Liveness: it accepts clients. Readiness: the quorum knows it, and all its replicas are in sync.
        startup_probe=pod_spec.https_probe("/live", probe_server.PORT, period=2, failures=90, timeout=5),
        liveness_probe=pod_spec.https_probe("/live", probe_server.PORT, period=30, failures=4, timeout=10),
        readiness_probe=pod_spec.https_probe("/ready", probe_server.PORT, period=10, failures=3, timeout=8),
        volume_mounts=_mounts(),
    )


def _probe_server(args: KafkaArgs) -> core.ContainerArgs:
    certificate = ("/etc/esq/tls/keystore.pem",)
    return workload.probe_server_container(
        args.image, "/etc/esq/kafka", certificate, args.probe_server, _admin_login(), _mounts()
    )


def _admin_login() -> list[core.EnvVarArgs]:
    """Return the variables with which the probe logs in."""
    return [
        pod_spec.env_secret("ESQ_KAFKA_USER", NAME, "admin-user"),
        pod_spec.env_secret("ESQ_KAFKA_PASSWORD", NAME, "admin"),
    ]


def _jvm(heap: str) -> list[str]:
    return [
        f"-Xms{heap}",
        f"-Xmx{heap}",
        # One collector thread and only the C1 compiler: less memory and a faster start.
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:MaxDirectMemorySize=64m",
        "-XX:+ExitOnOutOfMemoryError",
        "-Dlog4j2.configurationFile=/etc/esq/kafka/log4j2.properties",
        "-cp",
        "/opt/kafka/libs/*",
    ]
