"""What the parts of the layer have in common: certificate and password, probes, security, volumes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pulumi
from pulumi_kubernetes.apps import v1 as apps
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta

from infra.components import pod_spec, workload
from infra.components.observability import ACCOUNT, CONFIGURATION, FILES
from infra.names import DIGEST_ANNOTATION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.components.observability import ObservabilityArgs
    from infra.sizes import Size

_PACKAGE = "infra.components.observability.pod_programs"
_LIBRARIES = "/opt/esq/libraries"
"""Folder of the libraries in the services image."""
_POD_PROGRAMS = Path(__file__).with_name("pod_programs")
_GO_MEMORY_SHARE = 0.8
"""The rest is for what Go does not count: mapped files and buffers outside of its heap."""
UID = 1000
"""`esq` in the image."""
SECRET = "observability"  # noqa: S105 - the name of a Secret
DATA = "/data"
TLS_OPTIONS = ("-tls", f"-tlsCertFile={FILES}/tls.crt", f"-tlsKeyFile={FILES}/tls.key")
LOGIN_OPTIONS = (f"-httpAuth.username={ACCOUNT}", f"-httpAuth.password=file://{FILES}/password")
SERVER_OPTIONS = (*TLS_OPTIONS, *LOGIN_OPTIONS)
"""Options of every server of VictoriaMetrics: TLS and the password on its port."""


def client_options(*clients: str) -> list[str]:
    """Return the options of clients of other servers of the layer, e.g. `datasource` of vmalert.

    Args:
        clients: prefixes of the options.
    """
    return [
        option
        for client in clients
        for option in (
            f"-{client}.tlsCAFile={FILES}/ca.crt",
            f"-{client}.basicAuth.username={ACCOUNT}",
            f"-{client}.basicAuth.passwordFile={FILES}/password",
        )
    ]


def secret_files(args: ObservabilityArgs) -> dict[str, str]:
    """Return the files that every pod of the layer mounts."""
    return {
        "tls.crt": args.certificate.certificate,
        "tls.key": args.certificate.key,
        "ca.crt": args.ca_bundle,
        "password": args.password,
    }


@dataclass(frozen=True)
class Part:
    """A workload of the layer.

    Attributes:
        name: name of the workload, its Service, its configuration and its service account.
        containers: its containers.
        configuration: files of its Secret; some contain passwords.
        ports: ports of its Service by name.
        storage: size of the volume of each replica; None without one.
        replicas: number of replicas.
        volumes: further volumes.
        reads_cluster: whether its service account gets a token for the API server.
    """

    name: str
    containers: Sequence[core.ContainerArgs]
    configuration: Mapping[str, str]
    ports: Mapping[str, int]
    storage: Size | None = None
    replicas: int = 1
    volumes: Sequence[core.VolumeArgs] = field(default_factory=tuple)
    reads_cluster: bool = False


def container(  # noqa: PLR0913 - the differences between the containers
    name: str,
    image: str,
    argv: Sequence[str],
    size: Size,
    *,
    port: int,
    health: str = "/health",
    has_data: bool = False,
) -> core.ContainerArgs:
    """Return a container that serves HTTPS.

    Args:
        name: its name.
        image: its image.
        argv: program and arguments.
        size: its resources.
        port: its port.
        health: path that answers without a password while it works.
        has_data: whether it uses the volume of the pod.
    """
    return core.ContainerArgs(
        name=name,
        image=image,
        command=list(argv),
        env=[go_memory_limit(size)],
        ports=[core.ContainerPortArgs(name=name[:15], container_port=port)],
        resources=workload.resources(size),
        security_context=workload.restricted_container_security(),
        liveness_probe=pod_spec.https_probe(health, port, period=30, failures=4, timeout=5),
        readiness_probe=pod_spec.https_probe(health, port, period=5, failures=2),
        volume_mounts=[*mounts(), *([pod_spec.mount("data", DATA)] if has_data else [])],
    )


def pod_programs(*names: str) -> dict[str, str]:
    """Return pod programs by file name, with the server that all of them use."""
    return {name: (_POD_PROGRAMS / name).read_text() for name in ("https_server.py", *names)}


def program_command(name: str) -> list[str]:
    """Return the command that runs a pod program."""
    return ["python3", "-m", f"{_PACKAGE}.{name}"]


def program_environment(port: int) -> list[core.EnvVarArgs]:
    """Return the variables of a pod program that listens on a port."""
    return [
        pod_spec.env("PYTHONPATH", f"{CONFIGURATION}:{_LIBRARIES}"),
        pod_spec.env("ESQ_FILES", FILES),
        pod_spec.env("ESQ_PORT", str(port)),
    ]


def _file_path(name: str) -> str:
    """Return the path of a file in the folder of the configuration; programs are in their package."""
    return f"{_PACKAGE.replace('.', '/')}/{name}" if name.endswith(".py") else name


def go_memory_limit(size: Size, share: float = _GO_MEMORY_SHARE) -> core.EnvVarArgs:
    """Return the variable that lets a program in Go collect garbage before it reaches its memory limit.

    Args:
        size: resources of the container.
        share: part of its limit that the program may use for its heap.
    """
    mib = int(size.memory_limit[:-2]) * (1024 if size.memory_limit.endswith("Gi") else 1)
    return pod_spec.env("GOMEMLIMIT", f"{int(mib * share)}MiB")


def mounts() -> list[core.VolumeMountArgs]:
    """Return the mounts of every container."""
    return [
        pod_spec.mount("files", FILES, read_only=True),
        pod_spec.mount("configuration", CONFIGURATION, read_only=True),
        pod_spec.mount("tmp", "/tmp"),  # noqa: S108 - the pod's own temporary folder
    ]


def declare(part: Part, args: ObservabilityArgs, opts: pulumi.ResourceOptions) -> None:
    """Declare a workload with its Service, configuration, service account and disruption budget.

    Args:
        part: the workload.
        args: inputs of the layer.
        opts: options of the resources.
    """
    metadata = workload.metadata(part.name, args.namespace)
    prerequisites: list[pulumi.Resource] = [
        core.Secret(
            part.name,
            metadata=metadata,
            string_data=pulumi.Output.secret(dict(part.configuration)),
            opts=opts,
        ),
        core.ServiceAccount(part.name, metadata=metadata, automount_service_account_token=False, opts=opts),
        _service(part, args.namespace, opts),
    ]
    after = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=prerequisites))
    declare_workload = _stateful_set if part.storage else _deployment
    declare_workload(part, args, after)
    workload.disruption_budget(part.name, args.namespace, opts)


def _service(part: Part, namespace: str, opts: pulumi.ResourceOptions) -> core.Service:
    metadata = workload.metadata(part.name, namespace)
    # Its endpoints come from pods that are created after it.
    metadata.annotations = {"pulumi.com/skipAwait": "true"}
    spec = core.ServiceSpecArgs(
        # Pods with a volume are found by their own names, also before they are ready.
        cluster_ip="None" if part.storage else None,
        publish_not_ready_addresses=True if part.storage else None,
        selector=workload.labels(part.name),
        ports=[core.ServicePortArgs(name=name, port=port) for name, port in part.ports.items()],
    )
    return core.Service(part.name, metadata=metadata, spec=spec, opts=opts)


def _stateful_set(part: Part, args: ObservabilityArgs, opts: pulumi.ResourceOptions) -> None:
    apps.StatefulSet(
        part.name,
        metadata=workload.metadata(part.name, args.namespace),
        spec=apps.StatefulSetSpecArgs(
            service_name=part.name,
            replicas=part.replicas,
            # A broken replica must not keep the other one from its update.
            pod_management_policy="Parallel",
            selector=meta.LabelSelectorArgs(match_labels=workload.labels(part.name)),
            volume_claim_templates=[workload.volume_claim_template("data", args.storage_class, part.storage)]
            if part.storage
            else [],
            template=_template(part, args),
        ),
        opts=opts,
    )


def _deployment(part: Part, args: ObservabilityArgs, opts: pulumi.ResourceOptions) -> None:
    apps.Deployment(
        part.name,
        metadata=workload.metadata(part.name, args.namespace),
        spec=apps.DeploymentSpecArgs(
            replicas=part.replicas,
            revision_history_limit=3,
            progress_deadline_seconds=180,
            selector=meta.LabelSelectorArgs(match_labels=workload.labels(part.name)),
            template=_template(part, args),
        ),
        opts=opts,
    )


def _template(part: Part, args: ObservabilityArgs) -> core.PodTemplateSpecArgs:
    programs = {str(item.name): f"{item.image} {item.command}" for item in part.containers}
    digest = workload.digest(programs, part.configuration, secret_files(args))
    return core.PodTemplateSpecArgs(
        metadata=meta.ObjectMetaArgs(
            labels=workload.labels(part.name), annotations={DIGEST_ANNOTATION: digest}
        ),
        spec=core.PodSpecArgs(
            service_account_name=part.name,
            automount_service_account_token=part.reads_cluster,
            enable_service_links=False,
            priority_class_name=workload.SERVICES_PRIORITY_CLASS,
            security_context=workload.restricted_pod_security(UID),
            affinity=workload.replica_affinity(part.name, args.zones),
            topology_spread_constraints=workload.zone_topology_spread(part.name),
            tolerations=workload.tolerate_lost_node() if part.storage else workload.evict_from_lost_node(),
            containers=list(part.containers),
            volumes=[
                pod_spec.secret_files("files", SECRET),
                pod_spec.secret_files(
                    "configuration", part.name, paths={name: _file_path(name) for name in part.configuration}
                ),
                pod_spec.empty_dir("tmp"),
                *part.volumes,
            ],
        ),
    )
