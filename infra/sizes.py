"""Resource sizes: a profile for laptops, one for production, and what an environment changes in them.

`local` shares a laptop or CI machine with two cores between three zones, control plane and services. It
requests almost no CPU and sets no CPU limit anywhere: a throttled Patroni or broker misses heartbeats, and a
missed heartbeat causes a failover. Memory limits are the measured usage plus the reserve for peaks.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Size(BaseModel):
    """Resources of one replica.

    Attributes:
        cpu: requested CPU in Kubernetes notation, reserved by the scheduler.
        memory: requested memory.
        memory_limit: memory limit; the kernel kills a process that exceeds it.
        storage: capacity of its volume; node-local volumes do not enforce it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu: str = Field(pattern=r"^\d+m?$")
    memory: str = Field(pattern=r"^\d+(Mi|Gi)$")
    memory_limit: str = Field(pattern=r"^\d+(Mi|Gi)$")
    storage: str = Field(default="1Gi", pattern=r"^\d+(Mi|Gi)$")


class ObservabilitySizes(BaseModel):
    """Sizes of the parts of the observability layer.

    Attributes:
        metrics: VictoriaMetrics.
        rules: vmalert.
        alertmanager: Alertmanager.
        gateway: vmauth.
        alert_receiver: the store of what was sent, without other receivers.
        logs: VictoriaLogs.
        log_agent: vlagent, on every node.
        exporter: an exporter or a receiver of our own, in Python.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metrics: Size
    rules: Size
    alertmanager: Size
    gateway: Size
    alert_receiver: Size
    logs: Size
    log_agent: Size
    exporter: Size


class Sizes(BaseModel):
    """Sizes of one environment.

    Attributes:
        postgres: Patroni and Postgres together.
        postgres_shared_buffers: cache of Postgres; about a quarter of the memory.
        postgres_max_connections: sum of all services' pools, with a third in reserve for overlapping deploys.
        redis: a Redis server.
        sentinel: the Sentinel beside each server; it stores almost no data.
        redis_maxmemory: data size at which Redis rejects writes; copies during a fork need the rest of the
            limit.
        kafka: a JVM.
        kafka_heap: its heap; page cache and about 100 MiB of JVM memory come on top.
        probe_server: the probe server in a pod of Redis or Kafka.
        object_store: a Garage node.
        object_store_proxy: its TLS proxy.
        backup_server: the pgBackRest server beside each Postgres; mostly idle unless a backup is copied.
        backup_verifier: the backup verifier.
        backup_job: a backup, or a copy of the media, while it runs.
        restore_job: a restored Postgres, while it exists; its disk is the node's.
        backup_retention_days: any second of this many days can be restored.
        service: a replica of an application process.
        job: a migration or similar job, while it runs.
        observability: the parts of the observability layer.
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
    probe_server: Size
    object_store: Size
    object_store_proxy: Size
    backup_server: Size
    backup_verifier: Size
    backup_job: Size
    restore_job: Size
    backup_retention_days: int = Field(ge=1)
    service: Size
    job: Size
    observability: ObservabilitySizes


LOCAL_SIZES = Sizes(
    # Under contention, CPU time is shared in proportion to these requests. Postgres has the largest: a commit
    # that waits for CPU, here or on a standby, delays every service. Commits that wait for a standby keep
    # their connections, and all connections must fit into the memory limit.
    postgres=Size(cpu="200m", memory="224Mi", memory_limit="1Gi", storage="4Gi"),
    postgres_shared_buffers="128MB",
    postgres_max_connections=200,
    redis=Size(cpu="50m", memory="24Mi", memory_limit="96Mi", storage="1Gi"),
    sentinel=Size(cpu="10m", memory="16Mi", memory_limit="48Mi", storage="1Gi"),
    redis_maxmemory="32mb",
    kafka=Size(cpu="100m", memory="320Mi", memory_limit="640Mi", storage="4Gi"),
    kafka_heap="256m",
    probe_server=Size(cpu="10m", memory="14Mi", memory_limit="64Mi"),
    object_store=Size(cpu="20m", memory="48Mi", memory_limit="192Mi", storage="4Gi"),
    object_store_proxy=Size(cpu="10m", memory="12Mi", memory_limit="64Mi"),
    backup_server=Size(cpu="10m", memory="8Mi", memory_limit="256Mi"),
    backup_verifier=Size(cpu="10m", memory="24Mi", memory_limit="128Mi"),
    backup_job=Size(cpu="20m", memory="48Mi", memory_limit="256Mi"),
    restore_job=Size(cpu="20m", memory="96Mi", memory_limit="512Mi", storage="4Gi"),
    backup_retention_days=2,
    # Half of a broker: services must not starve while all pods of a returned zone start.
    service=Size(cpu="50m", memory="80Mi", memory_limit="256Mi"),
    job=Size(cpu="20m", memory="64Mi", memory_limit="256Mi"),
    # The limits add up to 700 MiB with two replicas of what pages and an agent on each of three nodes. At
    # rest the layer uses 373 MiB, almost half of it VictoriaMetrics.
    observability=ObservabilitySizes(
        metrics=Size(cpu="40m", memory="120Mi", memory_limit="182Mi", storage="2Gi"),
        rules=Size(cpu="10m", memory="16Mi", memory_limit="26Mi"),
        alertmanager=Size(cpu="10m", memory="20Mi", memory_limit="28Mi", storage="1Gi"),
        gateway=Size(cpu="10m", memory="8Mi", memory_limit="14Mi"),
        alert_receiver=Size(cpu="10m", memory="10Mi", memory_limit="14Mi"),
        logs=Size(cpu="20m", memory="36Mi", memory_limit="56Mi", storage="2Gi"),
        log_agent=Size(cpu="10m", memory="14Mi", memory_limit="20Mi"),
        exporter=Size(cpu="10m", memory="20Mi", memory_limit="28Mi"),
    ),
)

PRODUCTION_SIZES = Sizes(
    postgres=Size(cpu="2", memory="8Gi", memory_limit="8Gi", storage="100Gi"),
    postgres_shared_buffers="2GB",
    postgres_max_connections=500,
    redis=Size(cpu="500m", memory="2Gi", memory_limit="2Gi", storage="10Gi"),
    sentinel=Size(cpu="50m", memory="64Mi", memory_limit="64Mi", storage="1Gi"),
    redis_maxmemory="1gb",
    kafka=Size(cpu="1", memory="6Gi", memory_limit="6Gi", storage="100Gi"),
    kafka_heap="2g",
    probe_server=Size(cpu="50m", memory="32Mi", memory_limit="64Mi"),
    object_store=Size(cpu="500m", memory="1Gi", memory_limit="2Gi", storage="200Gi"),
    object_store_proxy=Size(cpu="100m", memory="64Mi", memory_limit="128Mi"),
    backup_server=Size(cpu="100m", memory="64Mi", memory_limit="1Gi"),
    backup_verifier=Size(cpu="50m", memory="64Mi", memory_limit="256Mi"),
    backup_job=Size(cpu="200m", memory="256Mi", memory_limit="1Gi"),
    restore_job=Size(cpu="500m", memory="1Gi", memory_limit="4Gi", storage="100Gi"),
    backup_retention_days=7,
    service=Size(cpu="250m", memory="256Mi", memory_limit="512Mi"),
    job=Size(cpu="100m", memory="128Mi", memory_limit="512Mi"),
    observability=ObservabilitySizes(
        metrics=Size(cpu="500m", memory="1Gi", memory_limit="2Gi", storage="50Gi"),
        rules=Size(cpu="100m", memory="64Mi", memory_limit="256Mi"),
        alertmanager=Size(cpu="50m", memory="64Mi", memory_limit="256Mi", storage="1Gi"),
        gateway=Size(cpu="50m", memory="32Mi", memory_limit="128Mi"),
        alert_receiver=Size(cpu="10m", memory="24Mi", memory_limit="64Mi"),
        logs=Size(cpu="500m", memory="1Gi", memory_limit="2Gi", storage="50Gi"),
        log_agent=Size(cpu="50m", memory="64Mi", memory_limit="256Mi"),
        exporter=Size(cpu="50m", memory="64Mi", memory_limit="256Mi"),
    ),
)

PROFILES = {"local": LOCAL_SIZES, "production": PRODUCTION_SIZES}
"""Sizes by name of the profile."""
DEFAULT_PROFILE = "production"


def apply_profile(values: object) -> object:
    """Return a profile's sizes with the given ones in their place.

    Args:
        values: `profile`, and sizes by component, each with only what differs from the profile.

    Raises:
        ValueError: there is no such profile.
    """
    if not isinstance(values, dict):
        return values
    overrides = {str(name): value for name, value in values.items() if name != "profile"}
    profile = values.get("profile", DEFAULT_PROFILE)
    if profile not in PROFILES:
        raise ValueError(f"no such profile: {profile!r}. Known: {', '.join(PROFILES)}")
    defaults = PROFILES[profile].model_dump()
    return defaults | {name: _override(defaults.get(name), value) for name, value in overrides.items()}


def _override(default: object, value: object) -> object:
    return {**default, **value} if isinstance(default, dict) and isinstance(value, dict) else value


def sizes_schema() -> dict[str, Any]:
    """Return the JSON schema of what `apply_profile` accepts."""
    schema = Sizes.model_json_schema()
    size = _all_optional(schema["$defs"]["Size"])
    properties = _all_optional(schema)["properties"]
    fields = {name: size if "$ref" in field else field for name, field in properties.items()}
    profile = {"enum": list(PROFILES), "default": DEFAULT_PROFILE}
    return {"type": "object", "additionalProperties": False, "properties": {"profile": profile, **fields}}


def _all_optional(schema: dict[str, Any]) -> dict[str, Any]:
    fields = {
        name: {key: value for key, value in field.items() if key not in {"title", "default"}}
        for name, field in schema["properties"].items()
    }
    return {"type": "object", "additionalProperties": False, "properties": fields}
