"""Object store (Garage): three pods, one per zone, and a Job that applies the layout and creates the buckets.

Readiness is that of Garage: enough nodes are up to read and write every object. No node is ready before the
first layout, so the Job does not wait for ready pods. S3, the admin API and the probes are served by the TLS
proxy beside Garage, which does not support TLS itself.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pulumi
from pulumi_kubernetes.apps import v1 as apps
from pulumi_kubernetes.batch import v1 as batch
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes.rbac import v1 as rbac

from infra.components import pod_spec, workload
from infra.components.object_store import ObjectStoreArgs, ObjectStoreEndpoints
from infra.config_files import garage as garage_config
from infra.names import DIGEST_ANNOTATION, STATEFUL_REPLICAS, pod_dns, service_dns
from infra.sizes import Size

NAME = "object-store"
HEADLESS_SERVICE = "object-store-nodes"
LAYOUT_JOB = "object-store-layout"
UID = 1000
"""`esq` in the image."""

_LAYOUT = Path(__file__).with_name("pod_programs") / "layout.py"
_JOB_SIZE = Size(cpu="10m", memory="32Mi", memory_limit="96Mi")


class KubernetesObjectStore(pulumi.ComponentResource):
    """Three nodes and two buckets.

    Attributes:
        endpoints: endpoints for clients.
    """

    endpoints: ObjectStoreEndpoints

    def __init__(self, args: ObjectStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("esq:data:ObjectStore", NAME, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        config, secrets = _config(args), _secrets(args)
        metadata = workload.metadata(NAME, args.namespace)
        prerequisites: list[pulumi.Resource] = [
            core.ConfigMap(NAME, metadata=metadata, data=config, opts=child),
            core.Secret(
                NAME,
                metadata=metadata,
                string_data=pulumi.Output.secret(secrets),
                data=pulumi.Output.secret(_node_keys(args)),
                opts=child,
            ),
            core.Secret(
                LAYOUT_JOB,
                metadata=workload.metadata(LAYOUT_JOB, args.namespace),
                string_data=pulumi.Output.secret(_layout_files(args)),
                opts=child,
            ),
            core.ServiceAccount(NAME, metadata=metadata, automount_service_account_token=False, opts=child),
            *_services(args.namespace, child),
            *_layout_account(args.namespace, child),
        ]
        after_prerequisites = pulumi.ResourceOptions.merge(
            child, pulumi.ResourceOptions(depends_on=prerequisites)
        )
        digest = workload.digest(config, secrets)
        apps.StatefulSet(NAME, metadata=metadata, spec=_stateful_set(args, digest), opts=after_prerequisites)
        workload.disruption_budget(NAME, args.namespace, child)
        _layout_job(args, workload.digest(config, secrets, _layout_files(args)), after_prerequisites)
        url = f"https://{service_dns(NAME, args.namespace)}:{garage_config.S3_PORT}"
        self.endpoints = ObjectStoreEndpoints(
            url, garage_config.REGION, args.media_bucket, args.credentials.media_key_id
        )
        self.register_outputs({"url": url, "bucket": args.media_bucket})


def _host(ordinal: int, namespace: str) -> str:
    return pod_dns(f"{NAME}-{ordinal}", HEADLESS_SERVICE, namespace)


def _config(args: ObjectStoreArgs) -> dict[str, str]:
    peers = [
        f"{node_id}@{_host(ordinal, args.namespace)}:{garage_config.RPC_PORT}"
        for ordinal, node_id in enumerate(args.credentials.node_ids)
    ]
    return {
        "garage.toml": garage_config.render_garage_toml(peers),
        "haproxy.cfg": garage_config.render_haproxy_config(),
        "layout.py": _LAYOUT.read_text(),
        "node_key.sh": garage_config.render_node_key_script(),
    }


def _secrets(args: ObjectStoreArgs) -> dict[str, str]:
    return {
        "rpc_secret": args.credentials.rpc_secret,
        "admin_token": args.credentials.admin_token,
        # Certificate and key in one file, as required by HAProxy.
        "server.pem": args.certificate.certificate + args.certificate.key,
        "ca.crt": args.ca_bundle,
    }


def _layout_files(args: ObjectStoreArgs) -> dict[str, str]:
    """Return the files of the layout Job: the settings of `pod_programs/layout.py`, and certificates."""
    accepted = args.accepted
    settings = {
        "namespace": args.namespace,
        "nodes": {f"{NAME}-{ordinal}": node for ordinal, node in enumerate(args.credentials.node_ids)},
        "urls": [
            f"https://{_host(ordinal, args.namespace)}:{garage_config.ADMIN_PORT}"
            for ordinal in range(STATEFUL_REPLICAS)
        ],
        # During a rotation some nodes still have the token of the other generation.
        "admin_tokens": [keys.admin_token for keys in accepted],
        "capacity": _bytes(args.size.storage),
        # The keys of a bucket are the only ones that may use it.
        "buckets": {
            args.media_bucket: {keys.media_key_id: keys.media_key_secret for keys in accepted},
            args.backup_bucket: {keys.backup_key_id: keys.backup_key_secret for keys in accepted},
        },
    }
    return {
        "layout.json": json.dumps(settings),
        "tls.crt": args.admin_certificate.certificate,
        "tls.key": args.admin_certificate.key,
        "ca.crt": args.ca_bundle,
    }


def _node_keys(args: ObjectStoreArgs) -> dict[str, str]:
    keys = enumerate(args.credentials.node_keys)
    return {f"node_key_{ordinal}": base64.b64encode(bytes.fromhex(key)).decode() for ordinal, key in keys}


def _services(namespace: str, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
    # Their endpoints come from pods that are created after them.
    skip = {"pulumi.com/skipAwait": "true"}
    clients, nodes = workload.metadata(NAME, namespace), workload.metadata(HEADLESS_SERVICE, namespace, NAME)
    clients.annotations = nodes.annotations = skip
    s3 = core.ServiceSpecArgs(
        selector=workload.labels(NAME), ports=[core.ServicePortArgs(name="s3", port=garage_config.S3_PORT)]
    )
    peers = core.ServiceSpecArgs(
        cluster_ip="None",
        selector=workload.labels(NAME),
        publish_not_ready_addresses=True,
        ports=[
            core.ServicePortArgs(name="rpc", port=garage_config.RPC_PORT),
            core.ServicePortArgs(name="admin", port=garage_config.ADMIN_PORT),
        ],
    )
    return [
        core.Service(NAME, metadata=clients, spec=s3, opts=opts),
        core.Service(HEADLESS_SERVICE, metadata=nodes, spec=peers, opts=opts),
    ]


def _layout_account(namespace: str, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
    pods = [f"{NAME}-{ordinal}" for ordinal in range(STATEFUL_REPLICAS)]
    pod_rule = rbac.PolicyRuleArgs(api_groups=[""], resources=["pods"], resource_names=pods, verbs=["get"])
    node_rule = rbac.PolicyRuleArgs(api_groups=[""], resources=["nodes"], verbs=["get"])
    subject = rbac.SubjectArgs(kind="ServiceAccount", name=LAYOUT_JOB, namespace=namespace)
    metadata = workload.metadata(LAYOUT_JOB, namespace)
    # Cluster-wide names include the namespace: environments may share a cluster.
    cluster_metadata = meta.ObjectMetaArgs(
        name=f"{namespace}-{LAYOUT_JOB}", labels=workload.labels(LAYOUT_JOB)
    )
    api_group = "rbac.authorization.k8s.io"
    role = rbac.RoleRefArgs(api_group=api_group, kind="Role", name=LAYOUT_JOB)
    cluster_role = rbac.RoleRefArgs(api_group=api_group, kind="ClusterRole", name=f"{namespace}-{LAYOUT_JOB}")
    return [
        core.ServiceAccount(LAYOUT_JOB, metadata=metadata, automount_service_account_token=False, opts=opts),
        rbac.Role(LAYOUT_JOB, metadata=metadata, rules=[pod_rule], opts=opts),
        rbac.RoleBinding(LAYOUT_JOB, metadata=metadata, subjects=[subject], role_ref=role, opts=opts),
        rbac.ClusterRole(LAYOUT_JOB, metadata=cluster_metadata, rules=[node_rule], opts=opts),
        rbac.ClusterRoleBinding(
            LAYOUT_JOB, metadata=cluster_metadata, subjects=[subject], role_ref=cluster_role, opts=opts
        ),
    ]


def _stateful_set(args: ObjectStoreArgs, digest: str) -> apps.StatefulSetSpecArgs:
    labels = workload.labels(NAME)
    return apps.StatefulSetSpecArgs(
        service_name=HEADLESS_SERVICE,
        replicas=STATEFUL_REPLICAS,
        # Concurrently: no node is ready before two of them run.
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
                init_containers=[_node_key(args)],
                containers=[_node(args), _proxy(args)],
                volumes=[
                    pod_spec.config_files("config", NAME, mode=0o555),
                    pod_spec.secret_files("secrets", NAME),
                ],
            ),
        ),
    )


def _mounts() -> list[core.VolumeMountArgs]:
    return [
        pod_spec.mount("data", "/var/lib/garage"),
        pod_spec.mount("config", "/etc/esq/garage", read_only=True),
        pod_spec.mount("secrets", "/etc/esq/secrets", read_only=True),
    ]


def _node_key(args: ObjectStoreArgs) -> core.ContainerArgs:
    return core.ContainerArgs(
        name="node-key",
        image=args.image,
        command=["/etc/esq/garage/node_key.sh"],
        resources=workload.resources(args.size),
        security_context=workload.restricted_container_security(),
        volume_mounts=_mounts(),
    )


def _node(args: ObjectStoreArgs) -> core.ContainerArgs:
    return core.ContainerArgs(
        name="garage",
        image=args.image,
        command=["garage", "server"],
        env=[
            pod_spec.env("GARAGE_CONFIG_FILE", "/etc/esq/garage/garage.toml"),
            pod_spec.env("RUST_LOG", "garage=info"),
        ],
        ports=[core.ContainerPortArgs(name="rpc", container_port=garage_config.RPC_PORT)],
        resources=workload.resources(args.size),
        security_context=workload.restricted_container_security(),
        # The health is that of the whole cluster: correct for readiness, wrong for liveness.
        liveness_probe=pod_spec.tcp_probe(garage_config.RPC_PORT, period=10, failures=6),
        readiness_probe=pod_spec.https_probe(
            garage_config.GARAGE_PROBE_PATH, garage_config.PROBE_PORT, period=2, failures=2
        ),
        volume_mounts=_mounts(),
    )


def _proxy(args: ObjectStoreArgs) -> core.ContainerArgs:
    return core.ContainerArgs(
        name="tls",
        image=args.image,
        command=["haproxy", "-db", "-f", "/etc/esq/garage/haproxy.cfg"],
        ports=[
            core.ContainerPortArgs(name="s3", container_port=garage_config.S3_PORT),
            core.ContainerPortArgs(name="admin", container_port=garage_config.ADMIN_PORT),
        ],
        resources=workload.resources(args.proxy),
        security_context=workload.restricted_container_security(),
        liveness_probe=pod_spec.tcp_probe(garage_config.S3_PORT, period=10, failures=6),
        readiness_probe=pod_spec.https_probe(
            garage_config.PROXY_PROBE_PATH, garage_config.PROBE_PORT, period=2, failures=2
        ),
        volume_mounts=[
            pod_spec.mount("config", "/etc/esq/garage", read_only=True),
            pod_spec.mount("secrets", "/etc/esq/secrets", read_only=True),
        ],
    )


def _layout_job(args: ObjectStoreArgs, digest: str, opts: pulumi.ResourceOptions) -> batch.Job:
    # A Job runs only once: its name contains the digest, so that a change of settings creates a new one.
    name = f"{LAYOUT_JOB}-{digest[:8]}"
    return batch.Job(
        LAYOUT_JOB,
        metadata=workload.metadata(name, args.namespace, LAYOUT_JOB),
        spec=batch.JobSpecArgs(
            backoff_limit=6,
            template=core.PodTemplateSpecArgs(
                metadata=meta.ObjectMetaArgs(labels=workload.labels(LAYOUT_JOB)),
                spec=core.PodSpecArgs(
                    restart_policy="OnFailure",
                    service_account_name=LAYOUT_JOB,
                    # It reads the zone of each node.
                    automount_service_account_token=True,
                    priority_class_name=workload.DATA_PRIORITY_CLASS,
                    security_context=workload.restricted_pod_security(UID),
                    tolerations=workload.evict_from_lost_node(),
                    containers=[_layout(args)],
                    volumes=[
                        pod_spec.config_files("config", NAME, mode=0o555),
                        pod_spec.secret_files("layout", LAYOUT_JOB),
                    ],
                ),
            ),
        ),
        opts=opts,
    )


def _layout(args: ObjectStoreArgs) -> core.ContainerArgs:
    return core.ContainerArgs(
        name="layout",
        image=args.python_image,
        command=["python3", "/etc/esq/garage/layout.py", "/etc/esq/layout"],
        resources=workload.resources(_JOB_SIZE),
        security_context=workload.restricted_container_security(),
        volume_mounts=[
            pod_spec.mount("config", "/etc/esq/garage", read_only=True),
            pod_spec.mount("layout", "/etc/esq/layout", read_only=True),
        ],
    )


def _bytes(quantity: str) -> int:
    return int(quantity[:-2]) << {"Mi": 20, "Gi": 30}[quantity[-2:]]
