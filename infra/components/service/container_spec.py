"""Shared parts of services and jobs: the container, its Secrets and its service account."""

from __future__ import annotations

import pulumi
from pulumi_kubernetes.core import v1 as core

from infra.components import pod_spec, workload
from infra.components.service import ProgramArgs  # noqa: TC001 - shown in signatures
from infra.names import ZONE_LABEL

UID = 1000
"""`esq` in the image."""

_TLS = "/etc/esq/tls"
_TLS_ENVIRONMENT = {
    "ESQ_CA_FILE": f"{_TLS}/ca.crt",
    "ESQ_TLS_CERT": f"{_TLS}/tls.crt",
    "ESQ_TLS_KEY": f"{_TLS}/tls.key",
}
_ZONE_OF_POD = f"metadata.labels['{ZONE_LABEL}']"
"""Kubernetes copies it from the node from 1.35 on (KEP 4742); before, the variable is empty."""


def tls_secret(args: ProgramArgs) -> str:
    """Return the name of the Secret with the certificate."""
    return f"{args.name}-tls"


def _tls(args: ProgramArgs) -> dict[str, str]:
    return {
        "tls.crt": args.certificate.certificate,
        "tls.key": args.certificate.key,
        "ca.crt": args.ca_certificate,
    }


def digest(args: ProgramArgs) -> str:
    """Return a digest of image, command line, settings and secrets of a program."""
    program = {"image": args.image, "argv": " ".join(args.argv)}
    return workload.digest(program, args.settings, args.secrets, _tls(args))


def declare_prerequisites(args: ProgramArgs, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
    """Declare the Secrets and the service account of a program.

    Args:
        args: inputs of the program.
        opts: options of the resources.

    Returns:
        The Secrets and the service account.
    """
    metadata = workload.metadata(args.name, args.namespace)
    tls = workload.metadata(tls_secret(args), args.namespace, args.name)
    secrets, files = pulumi.Output.secret(args.secrets), pulumi.Output.secret(_tls(args))
    return [
        core.Secret(args.name, metadata=metadata, string_data=secrets, opts=opts),
        core.Secret(tls_secret(args), metadata=tls, string_data=files, opts=opts),
        core.ServiceAccount(args.name, metadata=metadata, automount_service_account_token=False, opts=opts),
    ]


def container(args: ProgramArgs) -> core.ContainerArgs:
    """Return the container, without probes and ports."""
    settings = {**_TLS_ENVIRONMENT, **args.settings}
    return core.ContainerArgs(
        name="main",
        image=args.image,
        command=["python3", *args.argv],
        env=[
            *(pod_spec.env(name, value) for name, value in sorted(settings.items())),
            pod_spec.env_field("ESQ_ZONE", _ZONE_OF_POD),
        ],
        env_from=[core.EnvFromSourceArgs(secret_ref=core.SecretEnvSourceArgs(name=args.name))],
        resources=workload.resources(args.size),
        security_context=workload.restricted_container_security(),
        volume_mounts=[
            pod_spec.mount("tls", _TLS, read_only=True),
            pod_spec.mount("tmp", "/tmp"),  # noqa: S108 - the pod's own temporary folder
        ],
    )


def volumes(args: ProgramArgs) -> list[core.VolumeArgs]:
    """Return the volumes mounted by `container`."""
    return [pod_spec.secret_files("tls", tls_secret(args)), pod_spec.empty_dir("tmp")]
