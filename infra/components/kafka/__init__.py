"""Kafka: three nodes, each broker and controller, that lose nothing with a zone."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from infra.authority import KeyPair  # noqa: TC001 - pydantic reads the annotations when the class is made
from infra.credentials import KafkaCredentials  # noqa: TC001 - same
from infra.defaults import Size  # noqa: TC001 - same


class KafkaArgs(BaseModel):
    """What a Kafka needs to know. Safe by default: replication 3, two in sync, TLS and passwords everywhere.

    Attributes:
        namespace: where it lives.
        image: an image with a JRE and Kafka 4 in /opt/kafka/libs.
        storage_class: of the volumes.
        size: of each node.
        heap: of each JVM, e.g. `256m`.
        prober: of what answers the kubelet in its pod.
        credentials: cluster id and passwords.
        certificate: for the names of its Service and pods.
        authority: PEM of the authority that all trust.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespace: str
    image: str
    storage_class: str
    size: Size
    heap: str = Field(pattern=r"^\d+[mg]$")
    prober: Size
    credentials: KafkaCredentials = Field(repr=False)
    certificate: KeyPair
    authority: str


@dataclass(frozen=True)
class KafkaEndpoints:
    """Where it can be reached.

    Attributes:
        bootstrap: `host:port` that resolves to all brokers.
        mechanism: SASL mechanism, inside TLS.
    """

    bootstrap: str
    mechanism: str
