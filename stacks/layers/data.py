"""The data layer: Postgres, Redis, Kafka and the object store, each with a replica per zone, and backups."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import pulumi

from infra.components.backup import BackupArgs
from infra.components.backup.kubernetes import KubernetesBackup
from infra.components.kafka import KafkaArgs
from infra.components.kafka.kubernetes import KubernetesKafka
from infra.components.objects import ObjectsArgs
from infra.components.objects.kubernetes import KubernetesObjects
from infra.components.postgres import PostgresArgs
from infra.components.postgres.kubernetes import PODS as POSTGRES_PODS
from infra.components.postgres.kubernetes import KubernetesPostgres
from infra.components.redis import RedisArgs
from infra.components.redis.kubernetes import KubernetesRedis
from infra.names import BACKUP_BUCKET, DATA_NAMESPACE, STATEFUL_REPLICAS, pod_dns, service_dns
from infra.render import objects as s3
from infra.render.pgbackrest import Repository

if TYPE_CHECKING:
    from infra.config import StackSettings

VAULT_AUTHORITY = "/etc/pgbackrest/vault.crt"
"""Wherever pgBackRest runs, its file stands beside it."""


def program(settings: StackSettings) -> None:
    """Declare the layer, and export where each thing can be reached."""
    postgres = KubernetesPostgres(_postgres(settings))
    objects = KubernetesObjects(_objects(settings))
    # Its pods wait for both by themselves.
    KubernetesBackup(_backup(settings, postgres, objects))
    endpoints = {
        "postgres": asdict(postgres.endpoints),
        "redis": asdict(KubernetesRedis(_redis(settings)).endpoints),
        "kafka": asdict(KubernetesKafka(_kafka(settings)).endpoints),
        "objects": asdict(objects.endpoints),
    }
    for name, values in endpoints.items():
        pulumi.export(name, values)


def _repositories(settings: StackSettings) -> tuple[Repository, ...]:
    """Return where backups go: the environment's own store, then what outlives it."""
    secrets, vault = settings.secrets, settings.secrets.vault
    own = Repository(
        host=service_dns("objects", DATA_NAMESPACE),
        port=s3.S3_PORT,
        region=s3.REGION,
        bucket=BACKUP_BUCKET,
        key_id=secrets.objects.backup_key_id,
        key_secret=secrets.objects.backup_key_secret,
        cipher=secrets.backup.cipher,
        authority="/etc/esq/tls/ca.crt",
        days=settings.sizes.backup_days,
    )
    if vault is None:
        return (own,)
    outside = Repository(
        host=vault.host,
        port=vault.port,
        region=vault.region,
        bucket=vault.bucket,
        key_id=vault.key_id,
        key_secret=vault.key_secret,
        cipher=secrets.backup.vault_cipher,
        authority=VAULT_AUTHORITY,
        days=settings.sizes.backup_days,
    )
    return (own, outside)


def _backup(settings: StackSettings, postgres: KubernetesPostgres, objects: KubernetesObjects) -> BackupArgs:
    members = (f"postgres-{ordinal}" for ordinal in range(STATEFUL_REPLICAS))
    return BackupArgs(
        namespace=DATA_NAMESPACE,
        image=settings.images["postgres"],
        job=settings.sizes.backup_job,
        restore=settings.sizes.restore_job,
        witness=settings.sizes.witness,
        repositories=_repositories(settings),
        postgres=postgres.endpoints,
        members=tuple(pod_dns(member, POSTGRES_PODS, DATA_NAMESPACE) for member in members),
        objects=objects.endpoints,
        keys=settings.secrets.objects,
        vault=settings.secrets.vault,
        certificate=settings.secrets.certificates["backup"],
        authority=settings.secrets.authority.certificate,
    )


def _postgres(settings: StackSettings) -> PostgresArgs:
    return PostgresArgs(
        namespace=DATA_NAMESPACE,
        image=settings.images["postgres"],
        storage_class=settings.storage_class,
        size=settings.sizes.postgres,
        shared_buffers=settings.sizes.postgres_shared_buffers,
        max_connections=settings.sizes.postgres_max_connections,
        credentials=settings.secrets.postgres,
        certificate=settings.secrets.certificates["postgres"],
        authority=settings.secrets.authority.certificate,
        backup_server=settings.sizes.backup_server,
        repositories=_repositories(settings),
        vault_authority=settings.secrets.vault.authority if settings.secrets.vault else "",
    )


def _redis(settings: StackSettings) -> RedisArgs:
    return RedisArgs(
        namespace=DATA_NAMESPACE,
        image=settings.images["redis"],
        storage_class=settings.storage_class,
        size=settings.sizes.redis,
        sentinel=settings.sizes.sentinel,
        prober=settings.sizes.prober,
        maxmemory=settings.sizes.redis_maxmemory,
        credentials=settings.secrets.redis,
        certificate=settings.secrets.certificates["redis"],
        authority=settings.secrets.authority.certificate,
    )


def _kafka(settings: StackSettings) -> KafkaArgs:
    return KafkaArgs(
        namespace=DATA_NAMESPACE,
        image=settings.images["kafka"],
        storage_class=settings.storage_class,
        size=settings.sizes.kafka,
        heap=settings.sizes.kafka_heap,
        prober=settings.sizes.prober,
        credentials=settings.secrets.kafka,
        certificate=settings.secrets.certificates["kafka"],
        authority=settings.secrets.authority.certificate,
    )


def _objects(settings: StackSettings) -> ObjectsArgs:
    return ObjectsArgs(
        namespace=DATA_NAMESPACE,
        image=settings.images["garage"],
        # Any image with a whole Python; this one is on every node anyway.
        tools=settings.images["postgres"],
        storage_class=settings.storage_class,
        size=settings.sizes.objects,
        proxy=settings.sizes.objects_proxy,
        credentials=settings.secrets.objects,
        certificate=settings.secrets.certificates["objects"],
    )
