"""Redis: a primary and two replicas with automatic failover, for data that can be rebuilt."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from infra.certificate_authority import KeyPair  # noqa: TC001 - pydantic reads the annotations when the class is created
from infra.credentials import RedisCredentials  # noqa: TC001 - same
from infra.sizes import Size  # noqa: TC001 - same


class RedisArgs(BaseModel):
    """Inputs of Redis. Safe by default: three replicas, TLS only, accounts with few rights.

    Attributes:
        namespace: namespace of all objects.
        image: an image with Redis 7 and its Sentinel.
        storage_class: StorageClass of the volumes.
        zones: zones of the replicas.
        size: resources of each server.
        sentinel: resources of each Sentinel.
        probe_server: resources of the probe server in each pod.
        maxmemory: data size at which writes are rejected.
        accounts: passwords by generation of credentials; the first one is used, all are accepted.
        certificate: certificate with the names of its Service and pods.
        ca_bundle: PEM of the trusted certificate authorities.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespace: str
    image: str
    storage_class: str
    zones: tuple[str, ...]
    size: Size
    sentinel: Size
    probe_server: Size
    maxmemory: str
    accounts: tuple[RedisCredentials, ...] = Field(min_length=1, repr=False)
    certificate: KeyPair
    ca_bundle: str


@dataclass(frozen=True)
class RedisEndpoints:
    """Endpoints for clients, which query a Sentinel for the primary.

    Attributes:
        sentinels: `host:port` of each Sentinel.
        master_name: name of the monitored primary.
    """

    sentinels: tuple[str, ...]
    master_name: str
