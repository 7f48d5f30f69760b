"""Sizes per environment: one table.

`local` shares one laptop or CI machine of two cores between three zones, control plane and services, so it
requests next to no CPU and sets no CPU limit anywhere: a throttled Patroni or broker misses heartbeats, and
a missed heartbeat is a failover. Memory limits are honest: what a process was seen to use, plus the room it
needs for its worst moment.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Size(BaseModel):
    """What one replica may use.

    Attributes:
        cpu: requested CPU, in Kubernetes notation; what the scheduler sets aside.
        memory: requested memory.
        memory_limit: memory at which the kernel ends it.
        storage: capacity of its volume; node-local volumes do not enforce it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu: str = Field(pattern=r"^\d+m?$")
    memory: str = Field(pattern=r"^\d+(Mi|Gi)$")
    memory_limit: str = Field(pattern=r"^\d+(Mi|Gi)$")
    storage: str = Field(default="1Gi", pattern=r"^\d+(Mi|Gi)$")


class Sizes(BaseModel):
    """Sizes of one environment.

    Attributes:
        postgres: Patroni and Postgres together.
        postgres_shared_buffers: Postgres's own cache; about a quarter of the memory.
        postgres_max_connections: the sum of all services' pools, with a third to spare for deploys that
            overlap.
        redis: the server alone.
        sentinel: the Sentinel beside each server; it keeps no data worth the name.
        redis_maxmemory: data after which Redis refuses writes; copies made while forking need the rest of
            the limit.
        kafka: one JVM.
        kafka_heap: its heap; page cache and about 100 MiB of JVM stand outside of it.
        prober: what answers the kubelet in a pod of Redis or Kafka.
        objects: one Garage node.
        objects_proxy: the TLS in front of it.
        backup_server: beside each Postgres; most of it is only used while a backup is copied.
        witness: takes checksums all the time.
        backup_job: a backup, or a copy of the media, for as long as it runs.
        restore_job: a restored Postgres, for as long as it is looked at; its disk is the node's.
        backup_days: any second of so many days can be restored.
        service: one replica of a process of the application.
        job: a migration or the like, for as long as it runs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    postgres: Size
    postgres_shared_buffers: str
    postgres_max_connections: int = Field(ge=20)
    redis: Size
    sentinel: Size
    redis_maxmemory: str
    kafka: Size
    kafka_heap: str
    prober: Size
    objects: Size
    objects_proxy: Size
    backup_server: Size
    witness: Size
    backup_job: Size
    restore_job: Size
    backup_days: int = Field(ge=1)
    service: Size
    job: Size


LOCAL = Sizes(
    # Where processors are short they are shared in these proportions. What all others wait for comes first: a
    # commit that waits for a processor, here or on a standby, holds up every service.
    # Commits that wait for a standby keep their connections: all of those have to fit into the memory.
    postgres=Size(cpu="200m", memory="224Mi", memory_limit="1Gi", storage="4Gi"),
    postgres_shared_buffers="128MB",
    postgres_max_connections=200,
    redis=Size(cpu="50m", memory="24Mi", memory_limit="96Mi", storage="1Gi"),
    sentinel=Size(cpu="10m", memory="16Mi", memory_limit="48Mi", storage="1Gi"),
    redis_maxmemory="32mb",
    kafka=Size(cpu="100m", memory="320Mi", memory_limit="640Mi", storage="4Gi"),
    kafka_heap="256m",
    prober=Size(cpu="10m", memory="14Mi", memory_limit="64Mi"),
    objects=Size(cpu="20m", memory="48Mi", memory_limit="192Mi", storage="4Gi"),
    objects_proxy=Size(cpu="10m", memory="12Mi", memory_limit="64Mi"),
    backup_server=Size(cpu="10m", memory="8Mi", memory_limit="256Mi"),
    witness=Size(cpu="10m", memory="24Mi", memory_limit="128Mi"),
    backup_job=Size(cpu="20m", memory="48Mi", memory_limit="256Mi"),
    restore_job=Size(cpu="20m", memory="96Mi", memory_limit="512Mi", storage="4Gi"),
    backup_days=2,
    # Half of a broker: who answers is not to starve while all of a returned zone starts.
    service=Size(cpu="50m", memory="80Mi", memory_limit="256Mi"),
    job=Size(cpu="20m", memory="64Mi", memory_limit="256Mi"),
)

FULL = Sizes(
    postgres=Size(cpu="2", memory="8Gi", memory_limit="8Gi", storage="100Gi"),
    postgres_shared_buffers="2GB",
    postgres_max_connections=500,
    redis=Size(cpu="500m", memory="2Gi", memory_limit="2Gi", storage="10Gi"),
    sentinel=Size(cpu="50m", memory="64Mi", memory_limit="64Mi", storage="1Gi"),
    redis_maxmemory="1gb",
    kafka=Size(cpu="1", memory="6Gi", memory_limit="6Gi", storage="100Gi"),
    kafka_heap="2g",
    prober=Size(cpu="50m", memory="32Mi", memory_limit="64Mi"),
    objects=Size(cpu="500m", memory="1Gi", memory_limit="2Gi", storage="200Gi"),
    objects_proxy=Size(cpu="100m", memory="64Mi", memory_limit="128Mi"),
    backup_server=Size(cpu="100m", memory="64Mi", memory_limit="1Gi"),
    witness=Size(cpu="50m", memory="64Mi", memory_limit="256Mi"),
    backup_job=Size(cpu="200m", memory="256Mi", memory_limit="1Gi"),
    restore_job=Size(cpu="500m", memory="1Gi", memory_limit="4Gi", storage="100Gi"),
    backup_days=7,
    service=Size(cpu="250m", memory="256Mi", memory_limit="512Mi"),
    job=Size(cpu="100m", memory="128Mi", memory_limit="512Mi"),
)

SIZES = {"local": LOCAL, "staging": FULL, "prod": FULL}


def sizes(environment: str) -> Sizes:
    """Return the sizes of `environment`; one that has no row of its own is sized like `local`."""
    return SIZES.get(environment, LOCAL)
