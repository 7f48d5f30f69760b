"""Backups in pods of their own: by the clock, at the first deploy, and from templates when someone asks.

A template is a CronJob that is suspended or just not due: `esq backup` makes a Job of it, so that all of what
runs is declared here. The programs come as files of a ConfigMap, under the paths they have in the repository.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pulumi
from pulumi_kubernetes.apps import v1 as apps
from pulumi_kubernetes.batch import v1 as batch
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta

from infra.components import backup as names
from infra.components import pod
from infra.components import workload as work
from infra.defaults import Size  # noqa: TC001 - shown in signatures
from infra.names import VAULT
from infra.render import pgbackrest
from infra.render import postgres as render

if TYPE_CHECKING:
    from infra.components.backup import BackupArgs

NAME = "backup"
FIRST = "backup-first"
UID = 999
"""`postgres` in the image: restored files are its own."""
DEADLINE_SECONDS = 2 * 3600
KEEP_SECONDS = 24 * 3600
"""A Job that was asked for by hand is kept so long."""

_ROOT = Path(__file__).resolve().parents[3]
_CODE = "/etc/esq/code"
_FILES = (
    *sorted(Path(__file__).with_name("inside").glob("*.py")),
    *(_ROOT / "services" / "contracts" / name for name in ("backups.py", "topics.py")),
)
_PROGRAMS = "infra.components.backup.inside"


class KubernetesBackup(pulumi.ComponentResource):
    """Witness, schedules, templates, and the first backup."""

    def __init__(self, args: BackupArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("esq:data:Backup", NAME, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        code, secrets = _code(), _secrets(args)
        metadata = work.metadata(NAME, args.namespace)
        needs: list[pulumi.Resource] = [
            core.ConfigMap(NAME, metadata=metadata, data=code, opts=child),
            core.Secret(NAME, metadata=metadata, string_data=pulumi.Output.secret(secrets), opts=child),
            core.ServiceAccount(NAME, metadata=metadata, automount_service_account_token=False, opts=child),
            *_services(args, child),
        ]
        after = pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=needs))
        digest = work.digest(code, secrets)
        _witness(args, digest, after)
        for name, spec in _pods(args).items():
            _by_the_clock(name, args.namespace, spec, after)
        _first(args, digest, after)
        self.register_outputs({})


def _code() -> dict[str, str]:
    return {_key(path): path.read_text() for path in _FILES}


def _key(path: Path) -> str:
    return path.relative_to(_ROOT).as_posix().replace("/", "__")


def _secrets(args: BackupArgs) -> dict[str, str]:
    return {
        "stores.json": json.dumps(_stores(args)),
        "runner.conf": pgbackrest.runner(args.repositories, args.members),
        "restorer.conf": pgbackrest.restorer(args.repositories),
        "tls.crt": args.certificate.certificate,
        "tls.key": args.certificate.key,
        "ca.crt": args.authority,
        "vault.crt": args.vault.authority if args.vault else "",
    }


def _stores(args: BackupArgs) -> list[dict[str, str]]:
    """Return the buckets as `infra.components.backup.inside.s3` reads them."""
    here = {"url": args.objects.url, "region": args.objects.region, "authority": "/etc/esq/tls/ca.crt"}
    keys = args.keys
    found = [
        {
            "name": args.bucket,
            "bucket": args.bucket,
            "key_id": keys.backup_key_id,
            "key_secret": keys.backup_key_secret,
            **here,
        },
        {
            "name": args.objects.bucket,
            "bucket": args.objects.bucket,
            "key_id": keys.key_id,
            "key_secret": keys.key_secret,
            **here,
        },
    ]
    if args.vault is not None:
        vault = args.vault.model_dump(include={"url", "region", "bucket", "key_id", "key_secret"})
        found.append({"name": VAULT, **vault, "authority": "/etc/pgbackrest/vault.crt"})
    return found


def _services(args: BackupArgs, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
    # A restored Postgres is there only while somebody looks at it.
    metadata = work.metadata(names.BESIDE, args.namespace)
    metadata.annotations = {"pulumi.com/skipAwait": "true"}
    port = core.ServicePortArgs(name="postgres", port=render.PORT)
    beside = core.ServiceSpecArgs(selector=work.labels(names.BESIDE), ports=[port])
    found: list[pulumi.Resource] = [core.Service(names.BESIDE, metadata=metadata, spec=beside, opts=opts)]
    if args.vault is not None and args.vault.address is not None:
        found += _vault(args.namespace, args.vault.address, args.vault.port, opts)
    return found


def _vault(namespace: str, address: str, port: int, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
    """Give a name to a store that has only an address, since certificates hold for names."""
    metadata = work.metadata(VAULT, namespace)
    ports = [core.ServicePortArgs(name="s3", port=port)]
    service = core.Service(VAULT, metadata=metadata, spec=core.ServiceSpecArgs(ports=ports), opts=opts)
    subset = core.EndpointSubsetArgs(
        addresses=[core.EndpointAddressArgs(ip=address)], ports=[core.EndpointPortArgs(name="s3", port=port)]
    )
    return [service, core.Endpoints(VAULT, metadata=metadata, subsets=[subset], opts=opts)]


def _witness(args: BackupArgs, digest: str, opts: pulumi.ResourceOptions) -> apps.Deployment:
    labels = work.labels(names.WITNESS)
    spec = _pod(args, "witness", [], args.witness, config="restorer.conf")
    spec.restart_policy = None
    return apps.Deployment(
        names.WITNESS,
        metadata=work.metadata(names.WITNESS, args.namespace),
        spec=apps.DeploymentSpecArgs(
            replicas=1,
            selector=meta.LabelSelectorArgs(match_labels=labels),
            # Two would write the same records over each other.
            strategy=apps.DeploymentStrategyArgs(type="Recreate"),
            template=core.PodTemplateSpecArgs(
                metadata=meta.ObjectMetaArgs(labels=labels, annotations={work.DIGEST_ANNOTATION: digest}),
                spec=spec,
            ),
        ),
        opts=opts,
    )


def _pods(args: BackupArgs) -> dict[str, core.PodSpecArgs]:
    """Return what runs by the clock or on demand, by name."""
    found = {
        names.FULL: _pod(args, "backup", ["full"], args.job, config="runner.conf"),
        names.DIFFERENTIAL: _pod(args, "backup", ["diff"], args.job, config="runner.conf"),
        names.DRILL: _pod(args, "drill", [], args.restore, config="restorer.conf"),
        names.BESIDE: _pod(
            args, "beside", ["--type=default"], args.restore, config="restorer.conf", serves=True
        ),
    }
    if args.vault is not None:
        found[names.MEDIA] = _pod(args, "media", ["out"], args.job, config="restorer.conf")
        found[names.MEDIA_BACK] = _pod(args, "media", ["back"], args.job, config="restorer.conf")
    return found


def _by_the_clock(
    name: str, namespace: str, spec: core.PodSpecArgs, opts: pulumi.ResourceOptions
) -> batch.CronJob:
    return batch.CronJob(
        name,
        metadata=work.metadata(name, namespace),
        spec=batch.CronJobSpecArgs(
            # A template that no clock starts has to name a time all the same.
            schedule=names.SCHEDULES.get(name, "0 0 1 1 *"),
            suspend=name not in names.SCHEDULES,
            concurrency_policy="Forbid",
            starting_deadline_seconds=3600,
            successful_jobs_history_limit=1,
            failed_jobs_history_limit=2,
            job_template=batch.JobTemplateSpecArgs(spec=_job(name, spec)),
        ),
        opts=opts,
    )


def _job(name: str, spec: core.PodSpecArgs) -> batch.JobSpecArgs:
    return batch.JobSpecArgs(
        # Said once and shown; the next one by the clock tries again.
        backoff_limit=0,
        active_deadline_seconds=None if name == names.BESIDE else DEADLINE_SECONDS,
        ttl_seconds_after_finished=KEEP_SECONDS,
        template=core.PodTemplateSpecArgs(metadata=meta.ObjectMetaArgs(labels=work.labels(name)), spec=spec),
    )


def _first(args: BackupArgs, digest: str, opts: pulumi.ResourceOptions) -> batch.Job:
    """Take a backup as soon as there is something to back up; the deploy does not wait for it."""
    name = f"{FIRST}-{digest[:8]}"
    metadata = work.metadata(name, args.namespace, FIRST)
    metadata.annotations = {"pulumi.com/skipAwait": "true"}
    spec = _job(FIRST, _pod(args, "backup", ["full"], args.job, config="runner.conf"))
    spec.backoff_limit = 3
    # Kept: were it gone, the next deploy would find it missing and take another.
    spec.ttl_seconds_after_finished = None
    return batch.Job(FIRST, metadata=metadata, spec=spec, opts=opts)


def _pod(  # noqa: PLR0913 - what pods differ in
    args: BackupArgs, program: str, words: list[str], size: Size, *, config: str, serves: bool = False
) -> core.PodSpecArgs:
    restores = program in {"drill", "beside"}
    certificate = pod.secret_files(
        "tls",
        "postgres" if serves else NAME,
        # Postgres and pgBackRest refuse a key that others may read; root may own it if the group reads only.
        mode=0o640,
        paths={"tls.crt": "tls.crt", "tls.key": "tls.key", "ca.crt": "ca.crt"},
    )
    volumes = [
        pod.config_files(
            "code", NAME, paths={_key(path): path.relative_to(_ROOT).as_posix() for path in _FILES}
        ),
        certificate,
        pod.secret_files("pgbackrest", NAME, paths={config: "pgbackrest.conf", "vault.crt": "vault.crt"}),
        pod.secret_files("stores", NAME, paths={"stores.json": "stores.json"}),
        pod.scratch("tmp"),
        *([pod.scratch("scratch", limit=args.restore.storage)] if restores else []),
    ]
    return core.PodSpecArgs(
        service_account_name=NAME,
        automount_service_account_token=False,
        enable_service_links=False,
        restart_policy="Never",
        priority_class_name=work.NORMAL,
        security_context=work.confined_pod(UID),
        tolerations=work.leave_lost_nodes(),
        containers=[_container(args, program, words, size, restores=restores, serves=serves)],
        volumes=volumes,
    )


def _container(  # noqa: PLR0913 - see above
    args: BackupArgs, program: str, words: list[str], size: Size, *, restores: bool, serves: bool
) -> core.ContainerArgs:
    answers = pod.ask_program(["pg_isready", "--quiet", "--host=/scratch"], period=2, failures=1, timeout=2)
    return core.ContainerArgs(
        name="main",
        image=args.image,
        # What serves messages comes first.
        command=["nice", "-n", "10", "python3", "-m", f"{_PROGRAMS}.{program}"],
        args=words or None,
        env=_environment(args, witness=program == "witness"),
        resources=work.resources(size),
        security_context=work.confined_container(),
        readiness_probe=answers if serves else None,
        volume_mounts=[
            pod.mount("code", _CODE, read_only=True),
            pod.mount("tls", "/etc/esq/tls", read_only=True),
            pod.mount("pgbackrest", "/etc/pgbackrest", read_only=True),
            pod.mount("stores", "/etc/esq/backup", read_only=True),
            pod.mount("tmp", "/tmp"),  # noqa: S108 - the pod's own scratch space
            *([pod.mount("scratch", "/scratch")] if restores else []),
        ],
    )


def _environment(args: BackupArgs, *, witness: bool) -> list[core.EnvVarArgs]:
    stores = [args.bucket, *([VAULT] if args.vault else [])]
    account = [
        pod.env("ESQ_DATABASE_HOST", args.postgres.primary),
        pod.env("ESQ_DATABASE_USER", render.WITNESS_ROLE),
        pod.env_secret("PGPASSWORD", "postgres", "witness"),
    ]
    return [
        pod.env("PYTHONPATH", f"{_CODE}:/opt/patroni"),
        pod.env("PGBACKREST_STANZA", pgbackrest.STANZA),
        pod.env("ESQ_DATABASE", args.postgres.database),
        pod.env("ESQ_REPOSITORIES", str(len(args.repositories))),
        pod.env("ESQ_WITNESSES", ",".join(stores)),
        *(account if witness else []),
    ]
