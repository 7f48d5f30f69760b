"""The data layer: Postgres, Redis, Kafka and the object store, each with a replica per zone."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import pulumi

from infra.components.kafka import KafkaArgs
from infra.components.kafka.kubernetes import KubernetesKafka
from infra.components.objects import ObjectsArgs
from infra.components.objects.kubernetes import KubernetesObjects
from infra.components.postgres import PostgresArgs
from infra.components.postgres.kubernetes import KubernetesPostgres
from infra.components.redis import RedisArgs
from infra.components.redis.kubernetes import KubernetesRedis
from infra.names import DATA_NAMESPACE

if TYPE_CHECKING:
    from infra.config import StackSettings


def program(settings: StackSettings) -> None:
    """Declare the layer, and export where each thing can be reached."""
    endpoints = {
        "postgres": asdict(KubernetesPostgres(_postgres(settings)).endpoints),
        "redis": asdict(KubernetesRedis(_redis(settings)).endpoints),
        "kafka": asdict(KubernetesKafka(_kafka(settings)).endpoints),
        "objects": asdict(KubernetesObjects(_objects(settings)).endpoints),
    }
    for name, values in endpoints.items():
        pulumi.export(name, values)


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
    )


def _redis(settings: StackSettings) -> RedisArgs:
    return RedisArgs(
        namespace=DATA_NAMESPACE,
        image=settings.images["redis"],
        storage_class=settings.storage_class,
        size=settings.sizes.redis,
        sentinel=settings.sizes.sentinel,
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
        credentials=settings.secrets.objects,
    )
