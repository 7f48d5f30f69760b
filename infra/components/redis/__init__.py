"""Redis: a primary and two replicas with automatic failover, for what can be rebuilt."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from infra.authority import KeyPair  # noqa: TC001 - pydantic reads the annotations when the class is made
from infra.credentials import RedisCredentials  # noqa: TC001 - same
from infra.defaults import Size  # noqa: TC001 - same


class RedisArgs(BaseModel):
    """What a Redis needs to know. Safe by default: three replicas, TLS only, a password for everything.

    Attributes:
        namespace: where it lives.
        image: an image with Redis 7 and its Sentinel.
        storage_class: of the volumes.
        size: of each server.
        sentinel: of each Sentinel.
        prober: of what answers the kubelet for both.
        maxmemory: data after which writes are refused.
        credentials: passwords.
        certificate: for the names of its Service and pods.
        authority: PEM of the authority that all trust.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespace: str
    image: str
    storage_class: str
    size: Size
    sentinel: Size
    prober: Size
    maxmemory: str
    credentials: RedisCredentials = Field(repr=False)
    certificate: KeyPair
    authority: str


@dataclass(frozen=True)
class RedisEndpoints:
    """Where it can be reached: by asking any Sentinel for the primary.

    Attributes:
        sentinels: `host:port` of each Sentinel.
        master: what the Sentinels call the group.
    """

    sentinels: tuple[str, ...]
    master: str
