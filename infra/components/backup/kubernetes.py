"""Backups in separate pods: on a schedule, at the first deploy, and from templates on demand.

A template is a CronJob, suspended or not due: `esq backup` creates a Job from it, so everything that runs is
declared here. The programs are files of a ConfigMap, mounted under their paths in the repository.
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
from infra.components import pod_spec, workload
from infra.components.pod_programs import probe_server
from infra.components.postgres.kubernetes import TLS_FILES
from infra.config_files import pgbackrest
from infra.config_files import postgres as postgres_config
from infra.names import DIGEST_ANNOTATION, OFFSITE_STORE
from infra.sizes import Size  # noqa: TC001 - shown in signatures
from services.contracts import backup_verification, topics

if TYPE_CHECKING:
    from infra.components.backup import BackupArgs

NAME = "backup"
INITIAL = "backup-initial"
UID = 999
"""`postgres` in the image; it owns restored files."""
JOB_DEADLINE_SECONDS = 2 * 3600
RETENTION_SECONDS = 24 * 3600
"""Retention of finished Jobs."""

_ROOT = Path(__file__).resolve().parents[3]
_CODE = "/etc/esq/code"
_FILES = (
    *sorted(Path(__file__).resolve().with_name("pod_programs").glob("*.py")),
    Path(backup_verification.__file__).resolve(),
    Path(topics.__file__).resolve(),
    Path(probe_server.__file__).resolve(),
)
_PROGRAM_PACKAGE = "infra.components.backup.pod_programs"


class KubernetesBackup(pulumi.ComponentResource):
    """Verifier, schedules, templates, and the initial backup."""

    def __init__(self, args: BackupArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("esq:data:Backup", NAME, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        code, secrets = _code(), _secrets(args)
        metadata = workload.metadata(NAME, args.namespace)
        prerequisites: list[pulumi.Resource] = [
            core.ConfigMap(NAME, metadata=metadata, data=code, opts=child),
            core.Secret(NAME, metadata=metadata, string_data=pulumi.Output.secret(secrets), opts=child),
            core.ServiceAccount(NAME, metadata=metadata, automount_service_account_token=False, opts=child),
            *_services(args, child),
        ]
        after_prerequisites = pulumi.ResourceOptions.merge(
            child, pulumi.ResourceOptions(depends_on=prerequisites)
        )
        digest = workload.digest(code, secrets)
        _verifier(args, digest, after_prerequisites)
        for name, spec in _pods(args).items():
            _cron_job(name, args.namespace, spec, after_prerequisites)
        _initial_backup(args, digest, after_prerequisites)
        self.register_outputs({})


def _code() -> dict[str, str]:
    return {_key(path): path.read_text() for path in _FILES}


def _key(path: Path) -> str:
    return path.relative_to(_ROOT).as_posix().replace("/", "__")


def _secrets(args: BackupArgs) -> dict[str, str]:
    return {
        "buckets.json": json.dumps(_buckets(args)),
        "backup.conf": pgbackrest.render_backup_config(args.repositories, args.postgres_hosts),
        "restore.conf": pgbackrest.render_restore_config(args.repositories),
        "tls.crt": args.certificate.certificate,
        "tls.key": args.certificate.key,
        "ca.crt": args.ca_bundle,
        "offsite-store.crt": args.offsite_store.ca_certificate if args.offsite_store else "",
    }


def _buckets(args: BackupArgs) -> list[dict[str, str]]:
    """Return the buckets in the format of `infra.components.backup.pod_programs.s3`."""
    store = {
        "url": args.object_store.url,
        "region": args.object_store.region,
        "ca_file": "/etc/esq/tls/ca.crt",
    }
    credentials = args.object_store_credentials
    buckets = [
        {
            "name": args.bucket,
            "bucket": args.bucket,
            "key_id": credentials.backup_key_id,
            "key_secret": credentials.backup_key_secret,
            **store,
        },
        {
            "name": args.object_store.bucket,
            "bucket": args.object_store.bucket,
            "key_id": credentials.media_key_id,
            "key_secret": credentials.media_key_secret,
            **store,
        },
    ]
    if args.offsite_store is not None:
        offsite = args.offsite_store.model_dump(include={"url", "region", "bucket", "key_id", "key_secret"})
        buckets.append({"name": OFFSITE_STORE, **offsite, "ca_file": "/etc/pgbackrest/offsite-store.crt"})
    return buckets


def _services(args: BackupArgs, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
    # A restored clone exists only temporarily.
    metadata = workload.metadata(names.RESTORED_CLONE, args.namespace)
    metadata.annotations = {"pulumi.com/skipAwait": "true"}
    port = core.ServicePortArgs(name="postgres", port=postgres_config.PORT)
    clone = core.ServiceSpecArgs(selector=workload.labels(names.RESTORED_CLONE), ports=[port])
    services: list[pulumi.Resource] = [
        core.Service(names.RESTORED_CLONE, metadata=metadata, spec=clone, opts=opts)
    ]
    if args.offsite_store is not None and args.offsite_store.ip_address is not None:
        services += _offsite_store(
            args.namespace, args.offsite_store.ip_address, args.offsite_store.port, opts
        )
    return services


def _offsite_store(
    namespace: str, ip_address: str, port: int, opts: pulumi.ResourceOptions
) -> list[pulumi.Resource]:
    """Declare a Service for a store without a DNS name, because certificates contain names."""
    metadata = workload.metadata(OFFSITE_STORE, namespace)
    ports = [core.ServicePortArgs(name="s3", port=port)]
    service = core.Service(
        OFFSITE_STORE, metadata=metadata, spec=core.ServiceSpecArgs(ports=ports), opts=opts
    )
    subset = core.EndpointSubsetArgs(
        addresses=[core.EndpointAddressArgs(ip=ip_address)],
        ports=[core.EndpointPortArgs(name="s3", port=port)],
    )
    return [service, core.Endpoints(OFFSITE_STORE, metadata=metadata, subsets=[subset], opts=opts)]


def _verifier(args: BackupArgs, digest: str, opts: pulumi.ResourceOptions) -> apps.Deployment:
    labels = workload.labels(names.VERIFIER)
    spec = _pod(args, "verifier", [], args.verifier_size, config="restore.conf")
    spec.restart_policy = None
    return apps.Deployment(
        names.VERIFIER,
        metadata=workload.metadata(names.VERIFIER, args.namespace),
        spec=apps.DeploymentSpecArgs(
            replicas=1,
            selector=meta.LabelSelectorArgs(match_labels=labels),
            # Two verifiers would overwrite each other's records.
            strategy=apps.DeploymentStrategyArgs(type="Recreate"),
            template=core.PodTemplateSpecArgs(
                metadata=meta.ObjectMetaArgs(labels=labels, annotations={DIGEST_ANNOTATION: digest}),
                spec=spec,
            ),
        ),
        opts=opts,
    )


def _pods(args: BackupArgs) -> dict[str, core.PodSpecArgs]:
    """Return the pod spec of each CronJob, by name."""
    specs = {
        names.FULL: _pod(args, "backup", ["full"], args.job_size, config="backup.conf"),
        names.DIFFERENTIAL: _pod(args, "backup", ["diff"], args.job_size, config="backup.conf"),
        names.DRILL: _pod(args, "drill", [], args.restore_size, config="restore.conf"),
        names.RESTORED_CLONE: _pod(
            args,
            "serve_clone",
            ["--type=default"],
            args.restore_size,
            config="restore.conf",
            is_server=True,
        ),
    }
    if args.offsite_store is not None:
        specs[names.MEDIA] = _pod(args, "media", ["export"], args.job_size, config="restore.conf")
        specs[names.MEDIA_RESTORE] = _pod(args, "media", ["restore"], args.job_size, config="restore.conf")
    return specs


def _cron_job(
    name: str, namespace: str, spec: core.PodSpecArgs, opts: pulumi.ResourceOptions
) -> batch.CronJob:
    return batch.CronJob(
        name,
        metadata=workload.metadata(name, namespace),
        spec=batch.CronJobSpecArgs(
            # A schedule is required, even if the CronJob is suspended.
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
        # No retry: the failure is reported, and the next scheduled Job tries again.
        backoff_limit=0,
        active_deadline_seconds=None if name == names.RESTORED_CLONE else JOB_DEADLINE_SECONDS,
        ttl_seconds_after_finished=RETENTION_SECONDS,
        template=core.PodTemplateSpecArgs(
            metadata=meta.ObjectMetaArgs(labels=workload.labels(name)), spec=spec
        ),
    )


def _initial_backup(args: BackupArgs, digest: str, opts: pulumi.ResourceOptions) -> batch.Job:
    """Take a backup as soon as the database exists; the deploy does not wait for it."""
    name = f"{INITIAL}-{digest[:8]}"
    metadata = workload.metadata(name, args.namespace, INITIAL)
    # Another image replaces the Job under the same name. A deletion in the foreground, for which the deploy
    # does not wait either, could still be running when the replacement is created.
    background = {"pulumi.com/deletionPropagationPolicy": "background"}
    metadata.annotations = {"pulumi.com/skipAwait": "true", **background}
    spec = _job(INITIAL, _pod(args, "backup", ["full"], args.job_size, config="backup.conf"))
    spec.backoff_limit = 3
    # This Job is never deleted: otherwise the next deploy would create it again, and with it another backup.
    spec.ttl_seconds_after_finished = None
    return batch.Job(INITIAL, metadata=metadata, spec=spec, opts=opts)


def _pod(  # noqa: PLR0913 - the differences between the pods
    args: BackupArgs, program: str, arguments: list[str], size: Size, *, config: str, is_server: bool = False
) -> core.PodSpecArgs:
    restores = program in {"drill", "serve_clone"}
    certificate = pod_spec.secret_files(
        "tls",
        "postgres" if is_server else NAME,
        # Postgres and pgBackRest reject a key that others can read; root may own it if the group can only
        # read.
        mode=0o640,
        paths=TLS_FILES | ({"accounts.sql": "accounts.sql"} if is_server else {}),
    )
    volumes = [
        pod_spec.config_files(
            "code", NAME, paths={_key(path): path.relative_to(_ROOT).as_posix() for path in _FILES}
        ),
        certificate,
        pod_spec.secret_files(
            "pgbackrest", NAME, paths={config: "pgbackrest.conf", "offsite-store.crt": "offsite-store.crt"}
        ),
        pod_spec.secret_files("buckets", NAME, paths={"buckets.json": "buckets.json"}),
        pod_spec.empty_dir("tmp"),
        *([pod_spec.empty_dir("scratch", size_limit=args.restore_size.storage)] if restores else []),
    ]
    return core.PodSpecArgs(
        service_account_name=NAME,
        automount_service_account_token=False,
        enable_service_links=False,
        restart_policy="Never",
        priority_class_name=workload.SERVICES_PRIORITY_CLASS,
        security_context=workload.restricted_pod_security(UID),
        tolerations=workload.evict_from_lost_node(),
        containers=[_container(args, program, arguments, size, restores=restores, is_server=is_server)],
        volumes=volumes,
    )


def _container(  # noqa: PLR0913 - see above
    args: BackupArgs, program: str, arguments: list[str], size: Size, *, restores: bool, is_server: bool
) -> core.ContainerArgs:
    readiness_probe = pod_spec.exec_probe(
        ["pg_isready", "--quiet", "--host=/scratch"], period=2, failures=1, timeout=2
    )
    return core.ContainerArgs(
        name="main",
        image=args.image,
        # Message processing has priority.
        command=["nice", "-n", "10", "python3", "-m", f"{_PROGRAM_PACKAGE}.{program}"],
        args=arguments or None,
        env=_environment(args, is_verifier=program == "verifier"),
        resources=workload.resources(size),
        security_context=workload.restricted_container_security(),
        readiness_probe=readiness_probe if is_server else None,
        volume_mounts=[
            pod_spec.mount("code", _CODE, read_only=True),
            pod_spec.mount("tls", "/etc/esq/tls", read_only=True),
            pod_spec.mount("pgbackrest", "/etc/pgbackrest", read_only=True),
            pod_spec.mount("buckets", "/etc/esq/backup", read_only=True),
            pod_spec.mount("tmp", "/tmp"),  # noqa: S108 - the pod's own temporary folder
            *([pod_spec.mount("scratch", "/scratch")] if restores else []),
        ],
    )


def _environment(args: BackupArgs, *, is_verifier: bool) -> list[core.EnvVarArgs]:
    checksum_buckets = [args.bucket, *([OFFSITE_STORE] if args.offsite_store else [])]
    account = [
        pod_spec.env("ESQ_DATABASE_HOST", args.postgres.primary),
        pod_spec.env("ESQ_DATABASE_USER", args.database_user),
        pod_spec.env_secret("PGPASSWORD", "postgres", "verifier"),
    ]
    return [
        pod_spec.env("PYTHONPATH", f"{_CODE}:/opt/patroni"),
        pod_spec.env("PGBACKREST_STANZA", pgbackrest.STANZA),
        pod_spec.env("ESQ_DATABASE", args.postgres.database),
        pod_spec.env("ESQ_REPOSITORIES", str(len(args.repositories))),
        pod_spec.env("ESQ_CHECKSUM_BUCKETS", ",".join(checksum_buckets)),
        *(account if is_verifier else []),
    ]
