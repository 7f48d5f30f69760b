"""What services and jobs have in common: the container, its Secrets, its account."""

from __future__ import annotations

import pulumi
from pulumi_kubernetes.core import v1 as core

from infra.components import pod
from infra.components import workload as work
from infra.components.service import ProgramArgs  # noqa: TC001 - shown in signatures

UID = 1000
"""`esq` in the image."""

_TLS = "/etc/esq/tls"
_FILES = {
    "ESQ_CA_FILE": f"{_TLS}/ca.crt",
    "ESQ_TLS_CERT": f"{_TLS}/tls.crt",
    "ESQ_TLS_KEY": f"{_TLS}/tls.key",
}


def tls_secret(args: ProgramArgs) -> str:
    """Return the name of the Secret with the certificate."""
    return f"{args.name}-tls"


def _tls(args: ProgramArgs) -> dict[str, str]:
    return {
        "tls.crt": args.certificate.certificate,
        "tls.key": args.certificate.key,
        "ca.crt": args.authority,
    }


def digest(args: ProgramArgs) -> str:
    """Return a digest of everything that the program is started with, its image and arguments included."""
    run = {"image": args.image, "argv": " ".join(args.argv)}
    return work.digest(run, args.settings, args.secrets, _tls(args))


def ground(args: ProgramArgs, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
    """Declare the Secrets and the account; return them."""
    metadata = work.metadata(args.name, args.namespace)
    tls = work.metadata(tls_secret(args), args.namespace, args.name)
    secrets, files = pulumi.Output.secret(args.secrets), pulumi.Output.secret(_tls(args))
    return [
        core.Secret(args.name, metadata=metadata, string_data=secrets, opts=opts),
        core.Secret(tls_secret(args), metadata=tls, string_data=files, opts=opts),
        core.ServiceAccount(args.name, metadata=metadata, automount_service_account_token=False, opts=opts),
    ]


def container(args: ProgramArgs) -> core.ContainerArgs:
    """Return the container, without probes and ports."""
    settings = {**_FILES, **args.settings}
    return core.ContainerArgs(
        name="main",
        image=args.image,
        command=["python3", *args.argv],
        env=[pod.env(name, value) for name, value in sorted(settings.items())],
        env_from=[core.EnvFromSourceArgs(secret_ref=core.SecretEnvSourceArgs(name=args.name))],
        resources=work.resources(args.size),
        security_context=work.confined_container(),
        volume_mounts=[
            pod.mount("tls", _TLS, read_only=True),
            pod.mount("tmp", "/tmp"),  # noqa: S108 - the pod's own scratch space
        ],
    )


def volumes(args: ProgramArgs) -> list[core.VolumeArgs]:
    """Return the volumes that `container` mounts."""
    return [pod.secret_files("tls", tls_secret(args)), pod.scratch("tmp")]
