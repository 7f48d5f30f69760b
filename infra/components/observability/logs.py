"""VictoriaLogs for logs and spans, the agents that send it the logs of all containers, the span receiver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
from pulumi_kubernetes.apps import v1 as apps
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta

from infra.components import observability, pod_spec, workload
from infra.components.observability import parts
from infra.names import DIGEST_ANNOTATION, service_dns

if TYPE_CHECKING:
    from infra.components.observability import ObservabilityArgs

_LOG_FOLDER = "/var/log"
"""Folder of the nodes with the logs of their containers."""
_STREAM_FIELDS = "kubernetes.container_name,kubernetes.pod_name,kubernetes.pod_namespace"


def part(args: ObservabilityArgs) -> parts.Part:
    """Return the workload of VictoriaLogs."""
    command = [
        "victoria-logs",
        f"-httpListenAddr=:{observability.LOGS_PORT}",
        *parts.SERVER_OPTIONS,
        f"-storageDataPath={parts.DATA}/logs",
        f"-retentionPeriod={args.settings.logs_retention_days}d",
        f"-retention.maxDiskSpaceUsageBytes={args.settings.logs_max_gib}GiB",
        "-storage.minFreeDiskSpaceBytes=256MB",
        "-search.maxQueryDuration=10s",
        "-memory.allowedPercent=50",
    ]
    server = parts.container(
        observability.LOGS, args.image, command, args.sizes.logs, port=observability.LOGS_PORT, has_data=True
    )
    return parts.Part(
        observability.LOGS, [server], {}, {"https": observability.LOGS_PORT}, storage=args.sizes.logs
    )


def receiver(args: ObservabilityArgs) -> parts.Part:
    """Return the workload that receives spans and stores them in VictoriaLogs."""
    server = parts.container(
        observability.TRACES,
        args.services_image,
        parts.program_command("span_receiver"),
        args.sizes.exporter,
        port=observability.TRACES_PORT,
    )
    server.env = [
        pod_spec.env("ESQ_LOGS_URL", logs_url(args.namespace)),
        *parts.program_environment(observability.TRACES_PORT),
    ]
    return parts.Part(
        observability.TRACES,
        [server],
        parts.pod_programs("span_receiver.py"),
        {"https": observability.TRACES_PORT},
    )


def logs_url(namespace: str) -> str:
    """Return the URL of VictoriaLogs."""
    return f"https://{service_dns(observability.LOGS, namespace)}:{observability.LOGS_PORT}"


def declare_agents(args: ObservabilityArgs, opts: pulumi.ResourceOptions) -> None:
    """Declare the agents: one per node, which reads the logs of its containers as root and changes nothing.

    Args:
        args: inputs of the layer.
        opts: options of the resources.
    """
    name, namespace = observability.LOG_AGENT, args.node_namespace
    metadata = workload.metadata(name, namespace)
    files = parts.secret_files(args)
    prerequisites = [
        core.Secret(name, metadata=metadata, string_data=pulumi.Output.secret(files), opts=opts),
        core.ServiceAccount(name, metadata=metadata, automount_service_account_token=False, opts=opts),
    ]
    apps.DaemonSet(
        name,
        metadata=metadata,
        spec=apps.DaemonSetSpecArgs(
            selector=meta.LabelSelectorArgs(match_labels=workload.labels(name)),
            template=core.PodTemplateSpecArgs(
                metadata=meta.ObjectMetaArgs(
                    labels=workload.labels(name), annotations={DIGEST_ANNOTATION: workload.digest(files)}
                ),
                spec=_agent_pod(args),
            ),
        ),
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=prerequisites)),
    )


def _agent_pod(args: ObservabilityArgs) -> core.PodSpecArgs:
    logs = core.HostPathVolumeSourceArgs(path=_LOG_FOLDER, type="Directory")
    return core.PodSpecArgs(
        service_account_name=observability.LOG_AGENT,
        automount_service_account_token=True,
        enable_service_links=False,
        priority_class_name=workload.SERVICES_PRIORITY_CLASS,
        security_context=core.PodSecurityContextArgs(
            # The files belong to root, and only their owner may read them.
            run_as_user=0,
            seccomp_profile=core.SeccompProfileArgs(type="RuntimeDefault"),
        ),
        tolerations=[core.TolerationArgs(operator="Exists")],
        containers=[agent(args)],
        volumes=[
            pod_spec.secret_files("files", observability.LOG_AGENT),
            core.VolumeArgs(name="logs", host_path=logs),
            pod_spec.empty_dir("data", size_limit="600Mi"),
        ],
    )


def agent(args: ObservabilityArgs) -> core.ContainerArgs:
    """Return the container of the agent."""
    command = [
        "vlagent",
        f"-httpListenAddr=:{observability.LOG_AGENT_PORT}",
        *parts.SERVER_OPTIONS,
        "-insert.disable",
        "-kubernetesCollector",
        "-kubernetesCollector.msgField=message,msg,_msg",
        f"-kubernetesCollector.streamFields={_STREAM_FIELDS}",
        "-kubernetesCollector.includePodLabels=false",
        f"-remoteWrite.url={logs_url(args.namespace)}/insert/native",
        *parts.client_options("remoteWrite"),
        # What is not sent waits here; the oldest is dropped when this is full.
        f"-remoteWrite.tmpDataPath={parts.DATA}",
        f"-tmpDataPath={parts.DATA}",
        "-remoteWrite.maxDiskUsagePerURL=500MB",
        "-remoteWrite.queues=1",
        "-remoteWrite.flushInterval=1s",
        "-memory.allowedPercent=40",
    ]
    return core.ContainerArgs(
        name=observability.LOG_AGENT,
        image=args.image,
        command=command,
        ports=[
            core.ContainerPortArgs(name=observability.LOG_AGENT, container_port=observability.LOG_AGENT_PORT)
        ],
        resources=workload.resources(args.sizes.log_agent),
        security_context=workload.restricted_container_security(),
        liveness_probe=pod_spec.https_probe("/health", observability.LOG_AGENT_PORT, period=30, failures=4),
        volume_mounts=[
            pod_spec.mount("files", observability.FILES, read_only=True),
            pod_spec.mount("logs", _LOG_FOLDER, read_only=True),
            pod_spec.mount("data", parts.DATA),
        ],
    )
