"""Postgres: a primary for writes, standbys in the other zones, and an address that follows the primary."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from infra.certificate_authority import KeyPair  # noqa: TC001 - pydantic reads the annotations when the class is created
from infra.config_files.pgbackrest import Repository  # noqa: TC001 - same
from infra.credentials import PostgresCredentials  # noqa: TC001 - same
from infra.names import DATABASE
from infra.sizes import Size  # noqa: TC001 - same


class PostgresArgs(BaseModel):
    """Inputs of Postgres. Safe by default: three replicas, quorum commit, TLS only.

    Attributes:
        namespace: namespace of all objects.
        image: an image with Postgres 15, Patroni 4 and pgBackRest.
        storage_class: StorageClass of the volumes.
        zones: zones of the replicas.
        size: resources of each replica.
        shared_buffers: cache of Postgres.
        max_connections: connections for clients.
        credentials: passwords of the used generation.
        generation: the used generation.
        logins: password by login role, of every accepted generation.
        certificate: certificate with the names of its Services and pods.
        ca_bundle: PEM of the trusted certificate authorities.
        backup_server: resources of the pgBackRest server beside each replica.
        repositories: repositories of the WAL archive.
        offsite_ca_certificate: PEM of the CA of the off-site store, if there is one.
        database: name of the database, created at the first start.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespace: str
    image: str
    storage_class: str
    zones: tuple[str, ...]
    size: Size
    shared_buffers: str
    max_connections: int
    credentials: PostgresCredentials = Field(repr=False)
    generation: str
    logins: dict[str, str] = Field(repr=False)
    certificate: KeyPair
    ca_bundle: str
    backup_server: Size
    repositories: tuple[Repository, ...] = Field(repr=False)
    offsite_ca_certificate: str = ""
    database: str = DATABASE


@dataclass(frozen=True)
class PostgresEndpoints:
    """Endpoints for clients.

    Attributes:
        primary: host for reads and writes.
        replicas: host for reads with a small lag; writes must not be based on them.
        port: port of both.
        database: name of the database.
    """

    primary: str
    replicas: str
    port: int
    database: str
