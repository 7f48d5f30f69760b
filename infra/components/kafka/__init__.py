"""Kafka: three nodes, each broker and controller; losing a zone loses no data."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from infra.certificate_authority import KeyPair  # noqa: TC001 - pydantic reads the annotations when the class is created
from infra.credentials import KafkaCredentials  # noqa: TC001 - same
from infra.names import KAFKA_ADMIN
from infra.sizes import Size  # noqa: TC001 - same
from services.contracts.kafka_access import account_name


class KafkaAccounts(BaseModel):
    """Accounts of one generation of credentials, each with the generation in its name.

    Attributes:
        generation: generation of the credentials.
        credentials: their passwords, and the cluster id.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    generation: str
    credentials: KafkaCredentials = Field(repr=False)

    @property
    def node(self) -> str:
        """Name of the account of brokers and controllers among themselves."""
        return account_name("broker", self.generation)

    @property
    def admin(self) -> str:
        """Name of the administrator's account."""
        return account_name(KAFKA_ADMIN, self.generation)

    @property
    def clients(self) -> dict[str, str]:
        """Password by account of the client listener."""
        passwords = {KAFKA_ADMIN: self.credentials.admin, **self.credentials.services}
        return {account_name(name, self.generation): password for name, password in passwords.items()}


class KafkaArgs(BaseModel):
    """Inputs of Kafka. Safe by default: replication factor 3, two in-sync replicas, TLS, access control.

    Attributes:
        namespace: namespace of all objects.
        image: an image with a JRE and Kafka 4 in /opt/kafka/libs.
        storage_class: StorageClass of the volumes.
        zones: zones of the replicas.
        size: resources of each node.
        heap: heap of each JVM, e.g. `256m`.
        probe_server: resources of the probe server in each pod.
        accounts: accounts by generation of credentials; the first one is used, all are accepted.
        certificate: certificate with the names of its Service and pods.
        ca_bundle: PEM of the trusted certificate authorities.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespace: str
    image: str
    storage_class: str
    zones: tuple[str, ...]
    size: Size
    heap: str = Field(pattern=r"^\d+[mg]$")
    probe_server: Size
    accounts: tuple[KafkaAccounts, ...] = Field(min_length=1)
    certificate: KeyPair
    ca_bundle: str


@dataclass(frozen=True)
class KafkaEndpoints:
    """Endpoints for clients.

    Attributes:
        bootstrap: `host:port` that resolves to all brokers.
        mechanism: SASL mechanism, inside TLS.
    """

    bootstrap: str
    mechanism: str
