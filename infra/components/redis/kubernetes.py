"""Redis with a Sentinel beside each server, in one pod per zone."""

from __future__ import annotations

from pathlib import Path

import pulumi
from pulumi_kubernetes.apps import v1 as apps
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta

from infra.components import pod, prober
from infra.components import workload as work
from infra.components.redis import RedisArgs, RedisEndpoints
from infra.names import STATEFUL_REPLICAS, pod_dns
from infra.render import redis as render

NAME = "redis"
UID = 1000
"""`esq` in the image."""

_KEPT = "/data/sentinel/sentinel.conf"


class KubernetesRedis(pulumi.ComponentResource):
    """Three servers and three Sentinels.

    Attributes:
        endpoints: where clients ask for the primary.
    """

    endpoints: RedisEndpoints

    def __init__(self, args: RedisArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("esq:data:Redis", NAME, None, opts)
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
        sentinels = tuple(f"{host}:{render.SENTINEL_PORT}" for host in _hosts(args.namespace))
        self.endpoints = RedisEndpoints(sentinels, render.MASTER)
        self.register_outputs({"sentinels": list(sentinels), "master": render.MASTER})


def _hosts(namespace: str) -> list[str]:
    return [pod_dns(f"{NAME}-{ordinal}", NAME, namespace) for ordinal in range(STATEFUL_REPLICAS)]


def _config(args: RedisArgs) -> dict[str, str]:
    return {
        "redis.conf": render.server(maxmemory=args.maxmemory),
        "sentinel.conf": render.sentinel(),
        "group.conf": render.group("PRIMARY"),
        "start.py": Path(__file__).with_name("start.py").read_text(),
        "probe.py": Path(__file__).with_name("probe.py").read_text(),
        "prober.py": Path(prober.__file__).read_text(),
    }


def _secrets(args: RedisArgs) -> dict[str, str]:
    return {
        "password": args.credentials.password,
        "sentinel": args.credentials.sentinel,
        "tls.crt": args.certificate.certificate,
        "tls.key": args.certificate.key,
        "ca.crt": args.authority,
    }


def _service(namespace: str, opts: pulumi.ResourceOptions) -> core.Service:
    metadata = work.metadata(NAME, namespace)
    # Its endpoints come from pods that are only made after it.
    metadata.annotations = {"pulumi.com/skipAwait": "true"}
    spec = core.ServiceSpecArgs(
        cluster_ip="None",
        selector=work.labels(NAME),
        # Servers and Sentinels find each other by name before any of them is ready.
        publish_not_ready_addresses=True,
        ports=[
            core.ServicePortArgs(name="redis", port=render.PORT),
            core.ServicePortArgs(name="sentinel", port=render.SENTINEL_PORT),
        ],
    )
    return core.Service(NAME, metadata=metadata, spec=spec, opts=opts)


def _stateful_set(args: RedisArgs, digest: str) -> apps.StatefulSetSpecArgs:
    labels = work.labels(NAME)
    return apps.StatefulSetSpecArgs(
        service_name=NAME,
        replicas=STATEFUL_REPLICAS,
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
                init_containers=[_start(args)],
                containers=[_server(args), _sentinel(args), _prober(args)],
                volumes=[
                    pod.config_files("config", NAME, mode=0o555),
                    pod.secret_files("tls", NAME),
                    pod.scratch("run", memory=True, limit="1Mi"),
                    pod.scratch("tmp"),
                ],
            ),
        ),
    )


def _start(args: RedisArgs) -> core.ContainerArgs:
    host = f"$(ESQ_POD).{NAME}.{args.namespace}.svc.cluster.local"
    return core.ContainerArgs(
        name="start",
        image=args.image,
        command=["python3", "/etc/esq/redis/start.py"],
        env=[
            pod.env_field("ESQ_POD", "metadata.name"),
            pod.env("ESQ_HOST", host),
            pod.env("ESQ_HOSTS", ",".join(_hosts(args.namespace))),
            pod.env("ESQ_MASTER", render.MASTER),
            pod.env("ESQ_PORT", str(render.PORT)),
            pod.env("ESQ_SENTINEL_PORT", str(render.SENTINEL_PORT)),
            pod.env("ESQ_SOURCE", "/etc/esq/redis"),
            pod.env("ESQ_TARGET", "/run/esq"),
            pod.env("ESQ_KEPT", _KEPT),
            pod.env("ESQ_CA", "/etc/esq/tls/ca.crt"),
            pod.env_secret("ESQ_PASSWORD", NAME, "password"),
            pod.env_secret("ESQ_SENTINEL_PASSWORD", NAME, "sentinel"),
        ],
        resources=work.resources(args.size),
        security_context=work.confined_container(),
        volume_mounts=_mounts(),
    )


def _mounts() -> list[core.VolumeMountArgs]:
    return [
        pod.mount("data", "/data"),
        pod.mount("config", "/etc/esq/redis", read_only=True),
        pod.mount("tls", "/etc/esq/tls", read_only=True),
        pod.mount("run", "/run/esq"),
        pod.mount("tmp", "/tmp"),  # noqa: S108 - the pod's own scratch space
    ]


def _server(args: RedisArgs) -> core.ContainerArgs:
    return core.ContainerArgs(
        name=NAME,
        image=args.image,
        command=["redis-server", "/run/esq/redis.conf"],
        env=[pod.env_secret("REDISCLI_AUTH", NAME, "password")],
        ports=[core.ContainerPortArgs(name="redis", container_port=render.PORT)],
        resources=work.resources(args.size),
        security_context=work.confined_container(),
        liveness_probe=pod.ask_http("/redis/live", prober.PORT, period=30, failures=4, timeout=5),
        readiness_probe=pod.ask_http("/redis/ready", prober.PORT, period=10, failures=3, timeout=5),
        volume_mounts=_mounts(),
    )


def _sentinel(args: RedisArgs) -> core.ContainerArgs:
    return core.ContainerArgs(
        name="sentinel",
        image=args.image,
        command=["redis-sentinel", _KEPT],
        env=[pod.env_secret("REDISCLI_AUTH", NAME, "sentinel")],
        ports=[core.ContainerPortArgs(name="sentinel", container_port=render.SENTINEL_PORT)],
        resources=work.resources(args.sentinel),
        security_context=work.confined_container(),
        liveness_probe=pod.ask_http("/sentinel/live", prober.PORT, period=30, failures=4, timeout=5),
        # Does it see enough of the others to elect a new primary, should it come to that?
        readiness_probe=pod.ask_http("/sentinel/ready", prober.PORT, period=10, failures=3, timeout=5),
        volume_mounts=_mounts(),
    )


def _prober(args: RedisArgs) -> core.ContainerArgs:
    env = [
        pod.env("ESQ_MASTER", render.MASTER),
        pod.env_secret("ESQ_PASSWORD", NAME, "password"),
        pod.env_secret("ESQ_SENTINEL_PASSWORD", NAME, "sentinel"),
    ]
    return work.prober(args.image, "/etc/esq/redis", args.prober, env, _mounts())
