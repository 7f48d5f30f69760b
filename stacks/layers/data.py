"""The data layer: Postgres, Redis, Kafka and the object store, each with a replica per zone, and backups."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import pulumi

from infra.components.backup import BackupArgs
from infra.components.backup.kubernetes import KubernetesBackup
from infra.components.kafka import KafkaAccounts, KafkaArgs
from infra.components.kafka.kubernetes import KubernetesKafka
from infra.components.object_store import ObjectStoreArgs
from infra.components.object_store.kubernetes import NAME as OBJECT_STORE
from infra.components.object_store.kubernetes import KubernetesObjectStore
from infra.components.postgres import PostgresArgs
from infra.components.postgres.kubernetes import HEADLESS_SERVICE as POSTGRES_PODS
from infra.components.postgres.kubernetes import KubernetesPostgres
from infra.components.redis import RedisArgs
from infra.components.redis.kubernetes import KubernetesRedis
from infra.config_files import garage
from infra.config_files.pgbackrest import Repository
from infra.names import (
    BACKUP_BUCKET,
    BACKUP_CLIENT,
    DATA_NAMESPACE,
    OBJECT_STORE_ADMIN,
    STATEFUL_REPLICAS,
    VERIFIER_ROLE,
    login_role,
    pod_dns,
    service_dns,
)

if TYPE_CHECKING:
    from infra.stack_settings import StackSettings

OFFSITE_CA_FILE = "/etc/pgbackrest/offsite-store.crt"
"""Path in every pod with pgBackRest."""


def program(settings: StackSettings) -> None:
    """Declare the layer, and export the endpoints of its components."""
    postgres = KubernetesPostgres(_postgres(settings))
    object_store = KubernetesObjectStore(_object_store(settings))
    # No dependency on the other two: the pods of the backups wait for them.
    KubernetesBackup(_backup(settings, postgres, object_store))
    endpoints = {
        "postgres": asdict(postgres.endpoints),
        "redis": asdict(KubernetesRedis(_redis(settings)).endpoints),
        "kafka": asdict(KubernetesKafka(_kafka(settings)).endpoints),
        "object_store": asdict(object_store.endpoints),
    }
    for name, values in endpoints.items():
        pulumi.export(name, values)


def _repositories(settings: StackSettings) -> tuple[Repository, ...]:
    """Return the repositories of the backups: in the environment's own store, and in the off-site store."""
    credentials = settings.required_credentials
    offsite_store = credentials.offsite_store
    local = Repository(
        host=service_dns(OBJECT_STORE, DATA_NAMESPACE),
        port=garage.S3_PORT,
        region=garage.REGION,
        bucket=BACKUP_BUCKET,
        key_id=credentials.object_store.backup_key_id,
        key_secret=credentials.object_store.backup_key_secret,
        cipher_pass=credentials.backup.cipher_pass,
        ca_file="/etc/esq/tls/ca.crt",
        retention_days=settings.sizes.backup_retention_days,
    )
    if offsite_store is None:
        return (local,)
    offsite = Repository(
        host=offsite_store.host,
        port=offsite_store.port,
        region=offsite_store.region,
        bucket=offsite_store.bucket,
        key_id=offsite_store.key_id,
        key_secret=offsite_store.key_secret,
        cipher_pass=credentials.backup.offsite_cipher_pass,
        ca_file=OFFSITE_CA_FILE,
        retention_days=settings.sizes.backup_retention_days,
    )
    return (local, offsite)


def _backup(
    settings: StackSettings, postgres: KubernetesPostgres, object_store: KubernetesObjectStore
) -> BackupArgs:
    credentials = settings.required_credentials
    members = (f"postgres-{ordinal}" for ordinal in range(STATEFUL_REPLICAS))
    return BackupArgs(
        namespace=DATA_NAMESPACE,
        image=settings.images["postgres"],
        job_size=settings.sizes.backup_job,
        restore_size=settings.sizes.restore_job,
        verifier_size=settings.sizes.backup_verifier,
        repositories=_repositories(settings),
        postgres=postgres.endpoints,
        postgres_hosts=tuple(pod_dns(member, POSTGRES_PODS, DATA_NAMESPACE) for member in members),
        object_store=object_store.endpoints,
        object_store_credentials=credentials.object_store,
        offsite_store=credentials.offsite_store,
        database_user=login_role(VERIFIER_ROLE, credentials.generation),
        certificate=credentials.certificates[BACKUP_CLIENT],
        ca_bundle=credentials.ca_bundle,
    )


def _postgres(settings: StackSettings) -> PostgresArgs:
    credentials = settings.required_credentials
    offsite_store = credentials.offsite_store
    return PostgresArgs(
        namespace=DATA_NAMESPACE,
        image=settings.images["postgres"],
        storage_class=settings.storage_class,
        zones=settings.zones,
        size=settings.sizes.postgres,
        shared_buffers=settings.sizes.postgres_shared_buffers,
        max_connections=settings.sizes.postgres_max_connections,
        credentials=credentials.postgres,
        generation=credentials.generation,
        logins=credentials.postgres_logins,
        certificate=credentials.certificates["postgres"],
        ca_bundle=credentials.ca_bundle,
        backup_server=settings.sizes.backup_server,
        repositories=_repositories(settings),
        offsite_ca_certificate=offsite_store.ca_certificate if offsite_store else "",
    )


def _redis(settings: StackSettings) -> RedisArgs:
    return RedisArgs(
        namespace=DATA_NAMESPACE,
        image=settings.images["redis"],
        storage_class=settings.storage_class,
        zones=settings.zones,
        size=settings.sizes.redis,
        sentinel=settings.sizes.sentinel,
        probe_server=settings.sizes.probe_server,
        maxmemory=settings.sizes.redis_maxmemory,
        accounts=tuple(credentials.redis for credentials in settings.required_credentials.accepted),
        certificate=settings.required_credentials.certificates["redis"],
        ca_bundle=settings.required_credentials.ca_bundle,
    )


def _kafka(settings: StackSettings) -> KafkaArgs:
    return KafkaArgs(
        namespace=DATA_NAMESPACE,
        image=settings.images["kafka"],
        storage_class=settings.storage_class,
        zones=settings.zones,
        size=settings.sizes.kafka,
        heap=settings.sizes.kafka_heap,
        probe_server=settings.sizes.probe_server,
        accounts=tuple(
            KafkaAccounts(generation=credentials.generation, credentials=credentials.kafka)
            for credentials in settings.required_credentials.accepted
        ),
        certificate=settings.required_credentials.certificates["kafka"],
        ca_bundle=settings.required_credentials.ca_bundle,
    )


def _object_store(settings: StackSettings) -> ObjectStoreArgs:
    credentials = settings.required_credentials
    return ObjectStoreArgs(
        namespace=DATA_NAMESPACE,
        image=settings.images["garage"],
        # Any image with a complete Python; this one is on every node already.
        python_image=settings.images["postgres"],
        storage_class=settings.storage_class,
        zones=settings.zones,
        size=settings.sizes.object_store,
        proxy=settings.sizes.object_store_proxy,
        credentials=credentials.object_store,
        accepted=tuple(generation.object_store for generation in credentials.accepted),
        certificate=credentials.certificates["object-store"],
        admin_certificate=credentials.certificates[OBJECT_STORE_ADMIN],
        ca_bundle=credentials.ca_bundle,
    )
