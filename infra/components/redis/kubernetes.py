"""Redis with a Sentinel beside each server, in one pod per zone."""

from __future__ import annotations

from pathlib import Path

import pulumi
from pulumi_kubernetes.apps import v1 as apps
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta

from infra.components import pod_spec, workload
from infra.components.pod_programs import probe_server
from infra.components.redis import RedisArgs, RedisEndpoints
from infra.config_files import redis as redis_config
from infra.names import DIGEST_ANNOTATION, STATEFUL_REPLICAS, pod_dns

NAME = "redis"
UID = 1000
"""`esq` in the image."""

_SENTINEL_STATE = "/data/sentinel/sentinel.conf"
_POD_PROGRAMS = Path(__file__).with_name("pod_programs")


class KubernetesRedis(pulumi.ComponentResource):
    """Three servers and three Sentinels.

    Attributes:
        endpoints: endpoints for clients.
    """

    endpoints: RedisEndpoints

    def __init__(self, args: RedisArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("esq:data:Redis", NAME, None, opts)
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
        sentinels = tuple(f"{host}:{redis_config.SENTINEL_PORT}" for host in _hosts(args.namespace))
        self.endpoints = RedisEndpoints(sentinels, redis_config.MASTER_NAME)
        self.register_outputs({"sentinels": list(sentinels), "master_name": redis_config.MASTER_NAME})


def _hosts(namespace: str) -> list[str]:
    return [pod_dns(f"{NAME}-{ordinal}", NAME, namespace) for ordinal in range(STATEFUL_REPLICAS)]


def _config(args: RedisArgs) -> dict[str, str]:
    return {
        "redis.conf": redis_config.render_redis_conf(maxmemory=args.maxmemory),
        "sentinel.conf": redis_config.render_sentinel_conf(),
        "monitor.conf": redis_config.render_sentinel_monitor_conf("PRIMARY"),
        "write_config.py": (_POD_PROGRAMS / "write_config.py").read_text(),
        "probe.py": (_POD_PROGRAMS / "probe.py").read_text(),
        "probe_server.py": Path(probe_server.__file__).read_text(),
    }


def _secrets(args: RedisArgs) -> dict[str, str]:
    used = args.accounts[0]
    passwords = redis_config.accepted_passwords(args.accounts)
    return {
        "users.acl": redis_config.render_server_users(passwords),
        "sentinel-users.acl": redis_config.render_sentinel_users(passwords),
        redis_config.ADMIN: used.admin,
        redis_config.PROBE: used.probe,
        redis_config.REPLICATION: used.replication,
        redis_config.SENTINEL: used.sentinel,
        "tls.crt": args.certificate.certificate,
        "tls.key": args.certificate.key,
        "ca.crt": args.ca_bundle,
    }


def _service(namespace: str, opts: pulumi.ResourceOptions) -> core.Service:
    metadata = workload.metadata(NAME, namespace)
    # Its endpoints come from pods that are created after it.
    metadata.annotations = {"pulumi.com/skipAwait": "true"}
    spec = core.ServiceSpecArgs(
        cluster_ip="None",
        selector=workload.labels(NAME),
        # Servers and Sentinels look each other up by name before any of them is ready.
        publish_not_ready_addresses=True,
        ports=[
            core.ServicePortArgs(name="redis", port=redis_config.PORT),
            core.ServicePortArgs(name="sentinel", port=redis_config.SENTINEL_PORT),
        ],
    )
    return core.Service(NAME, metadata=metadata, spec=spec, opts=opts)


def _stateful_set(args: RedisArgs, digest: str) -> apps.StatefulSetSpecArgs:
    labels = workload.labels(NAME)
    return apps.StatefulSetSpecArgs(
        service_name=NAME,
        replicas=STATEFUL_REPLICAS,
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
                init_containers=[_write_config(args)],
                containers=[_server(args), _sentinel(args), _probe_server(args)],
                volumes=[
                    pod_spec.config_files("config", NAME, mode=0o555),
                    pod_spec.secret_files("tls", NAME),
                    pod_spec.empty_dir("run", in_memory=True, size_limit="1Mi"),
                    pod_spec.empty_dir("tmp"),
                ],
            ),
        ),
    )


def _write_config(args: RedisArgs) -> core.ContainerArgs:
    host = f"$(ESQ_POD).{NAME}.{args.namespace}.svc.cluster.local"
    return core.ContainerArgs(
        name="write-config",
        image=args.image,
        command=["python3", "/etc/esq/redis/write_config.py"],
        env=[
            pod_spec.env_field("ESQ_POD", "metadata.name"),
            pod_spec.env("ESQ_HOST", host),
            pod_spec.env("ESQ_HOSTS", ",".join(_hosts(args.namespace))),
            pod_spec.env("ESQ_MASTER_NAME", redis_config.MASTER_NAME),
            pod_spec.env("ESQ_PORT", str(redis_config.PORT)),
            pod_spec.env("ESQ_SENTINEL_PORT", str(redis_config.SENTINEL_PORT)),
            pod_spec.env("ESQ_SOURCE", "/etc/esq/redis"),
            pod_spec.env("ESQ_TARGET", "/run/esq"),
            pod_spec.env("ESQ_SENTINEL_STATE", _SENTINEL_STATE),
            pod_spec.env("ESQ_CA_FILE", "/etc/esq/tls/ca.crt"),
            pod_spec.env_secret("ESQ_PROBE_PASSWORD", NAME, redis_config.PROBE),
            pod_spec.env_secret("ESQ_REPLICATION_PASSWORD", NAME, redis_config.REPLICATION),
            pod_spec.env_secret("ESQ_SENTINEL_PASSWORD", NAME, redis_config.SENTINEL),
        ],
        resources=workload.resources(args.size),
        security_context=workload.restricted_container_security(),
        volume_mounts=_mounts(),
    )


def _mounts() -> list[core.VolumeMountArgs]:
    return [
        pod_spec.mount("data", "/data"),
        pod_spec.mount("config", "/etc/esq/redis", read_only=True),
        pod_spec.mount("tls", "/etc/esq/tls", read_only=True),
        pod_spec.mount("run", "/run/esq"),
        pod_spec.mount("tmp", "/tmp"),  # noqa: S108 - the pod's own temporary folder
    ]


def _server(args: RedisArgs) -> core.ContainerArgs:
    return core.ContainerArgs(
        name=NAME,
        image=args.image,
        command=["sh", "-c", redis_config.render_start_script()],
        env=[_cli_login()],
        ports=[core.ContainerPortArgs(name="redis", container_port=redis_config.PORT)],
        resources=workload.resources(args.size),
        security_context=workload.restricted_container_security(),
        liveness_probe=pod_spec.https_probe(
            "/redis/live", probe_server.PORT, period=30, failures=4, timeout=5
        ),
        readiness_probe=pod_spec.https_probe(
            "/redis/ready", probe_server.PORT, period=10, failures=3, timeout=5
        ),
        volume_mounts=_mounts(),
    )


def _sentinel(args: RedisArgs) -> core.ContainerArgs:
    return core.ContainerArgs(
        name="sentinel",
        image=args.image,
        command=["redis-sentinel", _SENTINEL_STATE],
        env=[_cli_login()],
        ports=[core.ContainerPortArgs(name="sentinel", container_port=redis_config.SENTINEL_PORT)],
        resources=workload.resources(args.sentinel),
        security_context=workload.restricted_container_security(),
        liveness_probe=pod_spec.https_probe(
            "/sentinel/live", probe_server.PORT, period=30, failures=4, timeout=5
        ),
        # It must reach a quorum of Sentinels, which could elect a new primary.
        readiness_probe=pod_spec.https_probe(
            "/sentinel/ready", probe_server.PORT, period=10, failures=3, timeout=5
        ),
        volume_mounts=_mounts(),
    )


def _cli_login() -> core.EnvVarArgs:
    """Return the variable with the password of `redis-cli --user probe`."""
    return pod_spec.env_secret("REDISCLI_AUTH", NAME, redis_config.PROBE)


def _probe_server(args: RedisArgs) -> core.ContainerArgs:
    env = [
        pod_spec.env("ESQ_MASTER_NAME", redis_config.MASTER_NAME),
        pod_spec.env_secret("ESQ_PROBE_PASSWORD", NAME, redis_config.PROBE),
    ]
    certificate = ("/etc/esq/tls/tls.crt", "/etc/esq/tls/tls.key")
    return workload.probe_server_container(
        args.image, "/etc/esq/redis", certificate, args.probe_server, env, _mounts()
    )
