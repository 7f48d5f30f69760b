"""Kafka: three nodes, each broker and controller; losing a zone loses no data."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from infra.certificate_authority import KeyPair  # noqa: TC001 - pydantic reads the annotations when the class is created
from infra.credentials import KafkaCredentials  # noqa: TC001 - same
from infra.sizes import Size  # noqa: TC001 - same


class KafkaArgs(BaseModel):
    """Inputs of Kafka. Safe by default: replication factor 3, two in-sync replicas, TLS and passwords.

    Attributes:
        namespace: namespace of all objects.
        image: an image with a JRE and Kafka 4 in /opt/kafka/libs.
        storage_class: StorageClass of the volumes.
        zones: zones of the replicas.
        size: resources of each node.
        heap: heap of each JVM, e.g. `256m`.
        probe_server: resources of the probe server in each pod.
        credentials: cluster id and passwords.
        certificate: certificate with the names of its Service and pods.
        ca_certificate: PEM of the environment's CA.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespace: str
    image: str
    storage_class: str
    zones: tuple[str, ...]
    size: Size
    heap: str = Field(pattern=r"^\d+[mg]$")
    probe_server: Size
    credentials: KafkaCredentials = Field(repr=False)
    certificate: KeyPair
    ca_certificate: str


@dataclass(frozen=True)
class KafkaEndpoints:
    """Endpoints for clients.

    Attributes:
        bootstrap: `host:port` that resolves to all brokers.
        mechanism: SASL mechanism, inside TLS.
    """

    bootstrap: str
    mechanism: str
