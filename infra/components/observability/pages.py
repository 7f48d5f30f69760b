"""Alertmanager, and in front of it the gateway of the layer.

Alertmanager knows passwords only as bcrypt hashes, so it listens on loopback, behind the gateway in its pod.
The two replicas tell each other which pages are sent; when they cannot, both send.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pulumi
from pulumi_kubernetes.core import v1 as core

from infra.alerts.pod_programs import alert_receiver
from infra.alerts.receivers import SECRETS_FOLDER, ReceiverSettings
from infra.alerts.routing import render_alertmanager
from infra.components import observability, pod_spec, workload
from infra.components.observability import parts
from infra.components.observability.gateway_config import render_gateway
from infra.components.observability.metrics import alertmanager_hosts, metrics_hosts
from infra.names import service_dns

if TYPE_CHECKING:
    from infra.components.observability import ObservabilityArgs

RECEIVER_SECRET = "alert-receivers"  # noqa: S105 - the name of a Secret
"""Secret with the keys, URLs and passwords of receivers."""
_LOCAL_RECEIVER = f"http://127.0.0.1:{observability.ALERT_RECEIVER_PORT}/"
_LOOPBACK = f"http://127.0.0.1:{observability.ALERTMANAGER_PORT}"


def part(args: ObservabilityArgs) -> parts.Part:
    """Return the workload."""
    receivers = args.settings.receivers
    stores = receivers == ReceiverSettings()
    gateway = parts.container(
        observability.GATEWAY,
        args.image,
        _gateway_command(),
        args.sizes.gateway,
        port=observability.GATEWAY_PORT,
    )
    return parts.Part(
        observability.ALERTMANAGER,
        [_alertmanager(args), gateway, *([_receiver(args)] if stores else [])],
        {
            "alertmanager.yml": render_alertmanager(receivers, _LOCAL_RECEIVER if stores else ""),
            **({"alert_receiver.py": Path(alert_receiver.__file__).read_text()} if stores else {}),
            "gateway.yml": render_gateway(_backends(args.namespace), args.token, args.password),
        },
        {"https": observability.GATEWAY_PORT, "gossip": observability.GOSSIP_PORT},
        storage=args.sizes.alertmanager,
        replicas=observability.REPLICAS,
        volumes=[_receiver_secrets()],
    )


def _receiver_secrets() -> core.VolumeArgs:
    """Return the volume with the secrets of receivers, which belong to the user and not to the stack."""
    source = core.SecretVolumeSourceArgs(secret_name=RECEIVER_SECRET, optional=True, default_mode=0o440)
    return core.VolumeArgs(name="receivers", secret=source)


def _receiver(args: ObservabilityArgs) -> core.ContainerArgs:
    """Return the container that stores what Alertmanager sends, where nobody else receives it."""
    program = parts.program_command("alert_receiver")
    return core.ContainerArgs(
        name="alert-receiver",
        image=args.image,
        command=[*program, "127.0.0.1", str(observability.ALERT_RECEIVER_PORT), f"{parts.DATA}/alerts.jsonl"],
        env=[pod_spec.env("PYTHONPATH", observability.CONFIGURATION)],
        resources=workload.resources(args.sizes.alert_receiver),
        security_context=workload.restricted_container_security(),
        volume_mounts=[*parts.mounts(), pod_spec.mount("data", parts.DATA)],
    )


def declare_gateway(args: ObservabilityArgs, opts: pulumi.ResourceOptions) -> None:
    """Declare the Service of the gateway, and the Secret with its token.

    Args:
        args: inputs of the layer.
        opts: options of the resources.
    """
    metadata = workload.metadata(observability.GATEWAY, args.namespace)
    metadata.annotations = {"pulumi.com/skipAwait": "true"}
    core.Service(
        observability.GATEWAY,
        metadata=metadata,
        spec=core.ServiceSpecArgs(
            selector=workload.labels(observability.ALERTMANAGER),
            ports=[core.ServicePortArgs(name="https", port=observability.GATEWAY_PORT)],
        ),
        opts=opts,
    )
    core.Secret(
        observability.TOKEN_SECRET,
        metadata=workload.metadata(observability.TOKEN_SECRET, args.namespace, observability.GATEWAY),
        string_data=pulumi.Output.secret({observability.TOKEN_KEY: args.token}),
        opts=opts,
    )


def _backends(namespace: str) -> dict[str, list[str]]:
    hosts = metrics_hosts(namespace)
    logs = service_dns(observability.LOGS, namespace)
    return {
        observability.METRICS: [f"https://{host}:{observability.METRICS_PORT}" for host in hosts],
        observability.RULES: [f"https://{host}:{observability.RULES_PORT}" for host in hosts],
        observability.LOGS: [f"https://{logs}:{observability.LOGS_PORT}"],
        observability.ALERTMANAGER: [_LOOPBACK],
    }


def _gateway_command() -> list[str]:
    return [
        "vmauth",
        f"-httpListenAddr=:{observability.GATEWAY_PORT}",
        *parts.TLS_OPTIONS,
        f"-auth.config={observability.CONFIGURATION}/gateway.yml",
        f"-httpAuthHeader={observability.TOKEN_HEADER}",
        "-httpAuthHeader=Authorization",
        f"-backend.TLSCAFile={observability.FILES}/ca.crt",
        # A server that does not answer is left alone for this time, and the other one is asked.
        "-failTimeout=3s",
        "-maxConcurrentPerUserRequests=50",
    ]


def _alertmanager(args: ObservabilityArgs) -> core.ContainerArgs:
    peers = [
        f"--cluster.peer={host}:{observability.GOSSIP_PORT}" for host in alertmanager_hosts(args.namespace)
    ]
    return core.ContainerArgs(
        name=observability.ALERTMANAGER,
        image=args.image,
        command=[
            "prometheus-alertmanager",
            f"--config.file={observability.CONFIGURATION}/alertmanager.yml",
            f"--storage.path={parts.DATA}/alertmanager",
            f"--web.listen-address=127.0.0.1:{observability.ALERTMANAGER_PORT}",
            f"--cluster.listen-address=0.0.0.0:{observability.GOSSIP_PORT}",
            *peers,
            # A replica sends a page after its peer could have: 2 s per place, not 15.
            "--cluster.peer-timeout=2s",
            "--cluster.settle-timeout=5s",
            "--data.retention=120h",
        ],
        env=[parts.go_memory_limit(args.sizes.alertmanager)],
        ports=[core.ContainerPortArgs(name="gossip", container_port=observability.GOSSIP_PORT)],
        resources=workload.resources(args.sizes.alertmanager),
        security_context=workload.restricted_container_security(),
        liveness_probe=pod_spec.tcp_probe(observability.GOSSIP_PORT, period=30, failures=4),
        volume_mounts=[
            *parts.mounts(),
            pod_spec.mount("data", parts.DATA),
            pod_spec.mount("receivers", SECRETS_FOLDER, read_only=True),
        ],
    )
