"""Objects in Garage: three pods, one per zone, and a Job that lays them out and makes the buckets.

Readiness is Garage's own: enough nodes are up that every object can be read and written. Before the first
layout no node is ready, which is why the Job does not wait for the pods to be. S3 is served by the proxy
beside Garage, for that has no TLS.
"""

from __future__ import annotations

import base64
from pathlib import Path

import pulumi
from pulumi_kubernetes.apps import v1 as apps
from pulumi_kubernetes.batch import v1 as batch
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes.rbac import v1 as rbac

from infra.components import pod
from infra.components import workload as work
from infra.components.objects import ObjectsArgs, ObjectsEndpoints
from infra.defaults import Size
from infra.names import STATEFUL_REPLICAS, pod_dns, service_dns
from infra.render import objects as render

NAME = "objects"
NODES = "objects-nodes"
LAYOUT = "objects-layout"
UID = 1000
"""`esq` in the image."""

_JOB_SIZE = Size(cpu="10m", memory="32Mi", memory_limit="96Mi")


class KubernetesObjects(pulumi.ComponentResource):
    """Three nodes and a bucket.

    Attributes:
        endpoints: where clients reach it.
    """

    endpoints: ObjectsEndpoints

    def __init__(self, args: ObjectsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("esq:data:Objects", NAME, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        config, secrets = _config(args), _secrets(args)
        metadata = work.metadata(NAME, args.namespace)
        needs: list[pulumi.Resource] = [
            core.ConfigMap(NAME, metadata=metadata, data=config, opts=child),
            core.Secret(
                NAME,
                metadata=metadata,
                string_data=pulumi.Output.secret(secrets),
                data=pulumi.Output.secret(_node_keys(args)),
                opts=child,
            ),
            core.ServiceAccount(NAME, metadata=metadata, automount_service_account_token=False, opts=child),
            *_services(args.namespace, child),
            *_layout_account(args.namespace, child),
        ]
        after = pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=needs))
        digest = work.digest(config, secrets)
        apps.StatefulSet(NAME, metadata=metadata, spec=_stateful_set(args, digest), opts=after)
        work.disruption_budget(NAME, args.namespace, child)
        _layout_job(args, digest, after)
        url = f"https://{service_dns(NAME, args.namespace)}:{render.S3_PORT}"
        self.endpoints = ObjectsEndpoints(url, render.REGION, args.bucket, args.credentials.key_id)
        self.register_outputs({"url": url, "bucket": args.bucket})


def _host(ordinal: int, namespace: str) -> str:
    return pod_dns(f"{NAME}-{ordinal}", NODES, namespace)


def _config(args: ObjectsArgs) -> dict[str, str]:
    peers = [
        f"{identity}@{_host(ordinal, args.namespace)}:{render.RPC_PORT}"
        for ordinal, identity in enumerate(args.credentials.node_ids)
    ]
    return {
        "garage.toml": render.garage(peers),
        "haproxy.cfg": render.proxy(),
        "layout.py": Path(__file__).with_name("layout.py").read_text(),
        "identity.sh": render.identity(),
    }


def _secrets(args: ObjectsArgs) -> dict[str, str]:
    return {
        "rpc_secret": args.credentials.rpc_secret,
        "admin_token": args.credentials.admin_token,
        "key_secret": args.credentials.key_secret,
        "backup_key_secret": args.credentials.backup_key_secret,
        # Certificate and key in one file, as HAProxy wants it.
        "server.pem": args.certificate.certificate + args.certificate.key,
    }


def _node_keys(args: ObjectsArgs) -> dict[str, str]:
    keys = enumerate(args.credentials.node_keys)
    return {f"node_key_{ordinal}": base64.b64encode(bytes.fromhex(key)).decode() for ordinal, key in keys}


def _services(namespace: str, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
    # Their endpoints come from pods that are only made after them.
    skip = {"pulumi.com/skipAwait": "true"}
    clients, nodes = work.metadata(NAME, namespace), work.metadata(NODES, namespace, NAME)
    clients.annotations = nodes.annotations = skip
    s3 = core.ServiceSpecArgs(
        selector=work.labels(NAME), ports=[core.ServicePortArgs(name="s3", port=render.S3_PORT)]
    )
    peers = core.ServiceSpecArgs(
        cluster_ip="None",
        selector=work.labels(NAME),
        publish_not_ready_addresses=True,
        ports=[
            core.ServicePortArgs(name="rpc", port=render.RPC_PORT),
            core.ServicePortArgs(name="admin", port=render.ADMIN_PORT),
        ],
    )
    return [
        core.Service(NAME, metadata=clients, spec=s3, opts=opts),
        core.Service(NODES, metadata=nodes, spec=peers, opts=opts),
    ]


def _layout_account(namespace: str, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
    pods = [f"{NAME}-{ordinal}" for ordinal in range(STATEFUL_REPLICAS)]
    own = rbac.PolicyRuleArgs(api_groups=[""], resources=["pods"], resource_names=pods, verbs=["get"])
    zones = rbac.PolicyRuleArgs(api_groups=[""], resources=["nodes"], verbs=["get"])
    subject = rbac.SubjectArgs(kind="ServiceAccount", name=LAYOUT, namespace=namespace)
    metadata = work.metadata(LAYOUT, namespace)
    # Cluster-wide names carry the namespace: environments may share a cluster.
    wide = meta.ObjectMetaArgs(name=f"{namespace}-{LAYOUT}", labels=work.labels(LAYOUT))
    group = "rbac.authorization.k8s.io"
    role = rbac.RoleRefArgs(api_group=group, kind="Role", name=LAYOUT)
    cluster_role = rbac.RoleRefArgs(api_group=group, kind="ClusterRole", name=f"{namespace}-{LAYOUT}")
    return [
        core.ServiceAccount(LAYOUT, metadata=metadata, automount_service_account_token=False, opts=opts),
        rbac.Role(LAYOUT, metadata=metadata, rules=[own], opts=opts),
        rbac.RoleBinding(LAYOUT, metadata=metadata, subjects=[subject], role_ref=role, opts=opts),
        rbac.ClusterRole(LAYOUT, metadata=wide, rules=[zones], opts=opts),
        rbac.ClusterRoleBinding(LAYOUT, metadata=wide, subjects=[subject], role_ref=cluster_role, opts=opts),
    ]


def _stateful_set(args: ObjectsArgs, digest: str) -> apps.StatefulSetSpecArgs:
    labels = work.labels(NAME)
    return apps.StatefulSetSpecArgs(
        service_name=NODES,
        replicas=STATEFUL_REPLICAS,
        # All at once: no node is ready before two of them are there.
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
                init_containers=[_identity(args)],
                containers=[_node(args), _proxy(args)],
                volumes=[pod.config_files("config", NAME, mode=0o555), pod.secret_files("secrets", NAME)],
            ),
        ),
    )


def _mounts() -> list[core.VolumeMountArgs]:
    return [
        pod.mount("data", "/var/lib/garage"),
        pod.mount("config", "/etc/esq/garage", read_only=True),
        pod.mount("secrets", "/etc/esq/secrets", read_only=True),
    ]


def _identity(args: ObjectsArgs) -> core.ContainerArgs:
    return core.ContainerArgs(
        name="identity",
        image=args.image,
        command=["/etc/esq/garage/identity.sh"],
        resources=work.resources(args.size),
        security_context=work.confined_container(),
        volume_mounts=_mounts(),
    )


def _node(args: ObjectsArgs) -> core.ContainerArgs:
    return core.ContainerArgs(
        name="garage",
        image=args.image,
        command=["garage", "server"],
        env=[
            pod.env("GARAGE_CONFIG_FILE", "/etc/esq/garage/garage.toml"),
            pod.env("RUST_LOG", "garage=info"),
        ],
        ports=[
            core.ContainerPortArgs(name="rpc", container_port=render.RPC_PORT),
            core.ContainerPortArgs(name="admin", container_port=render.ADMIN_PORT),
        ],
        resources=work.resources(args.size),
        security_context=work.confined_container(),
        # Health is the whole cluster's: right for sending clients elsewhere, wrong for killing a node.
        liveness_probe=pod.ask_port(render.ADMIN_PORT, period=10, failures=6),
        readiness_probe=pod.ask_http("/health", render.ADMIN_PORT, period=2, failures=2),
        volume_mounts=_mounts(),
    )


def _proxy(args: ObjectsArgs) -> core.ContainerArgs:
    return core.ContainerArgs(
        name="tls",
        image=args.image,
        command=["haproxy", "-db", "-f", "/etc/esq/garage/haproxy.cfg"],
        ports=[core.ContainerPortArgs(name="s3", container_port=render.S3_PORT)],
        resources=work.resources(args.proxy),
        security_context=work.confined_container(),
        liveness_probe=pod.ask_port(render.S3_PORT, period=10, failures=6),
        readiness_probe=pod.ask_http("/ready", render.PROXY_PORT, period=2, failures=2),
        volume_mounts=[
            pod.mount("config", "/etc/esq/garage", read_only=True),
            pod.mount("secrets", "/etc/esq/secrets", read_only=True),
        ],
    )


def _layout_job(args: ObjectsArgs, digest: str, opts: pulumi.ResourceOptions) -> batch.Job:
    # A Job never runs twice: with other settings it has another name and is another Job.
    name = f"{LAYOUT}-{digest[:8]}"
    return batch.Job(
        LAYOUT,
        metadata=work.metadata(name, args.namespace, LAYOUT),
        spec=batch.JobSpecArgs(
            backoff_limit=6,
            template=core.PodTemplateSpecArgs(
                metadata=meta.ObjectMetaArgs(labels=work.labels(LAYOUT)),
                spec=core.PodSpecArgs(
                    restart_policy="OnFailure",
                    service_account_name=LAYOUT,
                    # It reads which zone each node is in.
                    automount_service_account_token=True,
                    priority_class_name=work.CRITICAL,
                    security_context=work.confined_pod(UID),
                    tolerations=work.leave_lost_nodes(),
                    containers=[_layout(args)],
                    volumes=[pod.config_files("config", NAME, mode=0o555)],
                ),
            ),
        ),
        opts=opts,
    )


def _layout(args: ObjectsArgs) -> core.ContainerArgs:
    ids = enumerate(args.credentials.node_ids)
    urls = [f"http://{_host(n, args.namespace)}:{render.ADMIN_PORT}" for n in range(STATEFUL_REPLICAS)]
    return core.ContainerArgs(
        name="layout",
        image=args.tools,
        command=["python3", "/etc/esq/garage/layout.py"],
        env=[
            pod.env("ESQ_NAMESPACE", args.namespace),
            pod.env("ESQ_NODES", ",".join(f"{NAME}-{ordinal}={identity}" for ordinal, identity in ids)),
            pod.env("ESQ_URLS", ",".join(urls)),
            pod.env("ESQ_CAPACITY", str(_bytes(args.size.storage))),
            # Each bucket with the key that may use it, and no other.
            pod.env("ESQ_BUCKETS", f"{args.bucket},{args.backup_bucket}"),
            pod.env("ESQ_KEY_ID_0", args.credentials.key_id),
            pod.env_secret("ESQ_KEY_SECRET_0", NAME, "key_secret"),
            pod.env("ESQ_KEY_ID_1", args.credentials.backup_key_id),
            pod.env_secret("ESQ_KEY_SECRET_1", NAME, "backup_key_secret"),
            pod.env_secret("ESQ_ADMIN_TOKEN", NAME, "admin_token"),
        ],
        resources=work.resources(_JOB_SIZE),
        security_context=work.confined_container(),
        volume_mounts=[pod.mount("config", "/etc/esq/garage", read_only=True)],
    )


def _bytes(quantity: str) -> int:
    return int(quantity[:-2]) << {"Mi": 20, "Gi": 30}[quantity[-2:]]
