"""Postgres: a primary that takes writes, standbys in the other zones, an address that follows the primary."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from infra.authority import KeyPair  # noqa: TC001 - pydantic reads the annotations when the class is made
from infra.credentials import PostgresCredentials  # noqa: TC001 - same
from infra.defaults import Size  # noqa: TC001 - same
from infra.names import ADMIN_ROLE, DATABASE
from infra.render.pgbackrest import Repository  # noqa: TC001 - same


class PostgresArgs(BaseModel):
    """What a Postgres needs to know. Safe by default: three replicas, quorum commit, TLS only.

    Attributes:
        namespace: where it lives.
        image: an image with Postgres 15, Patroni 4 and pgBackRest.
        storage_class: of the volumes.
        size: of each replica.
        shared_buffers: Postgres's own cache.
        max_connections: connections for clients.
        credentials: passwords of all accounts.
        certificate: for the names of its Services and pods.
        authority: PEM of the authority that clients and members trust.
        backup_server: size of the server beside each replica that backups are copied through.
        repositories: where the log is archived.
        vault_authority: PEM of the authority of the vault, if there is one.
        database: made at the first start.
        admin: role that owns the database and may make roles.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespace: str
    image: str
    storage_class: str
    size: Size
    shared_buffers: str
    max_connections: int
    credentials: PostgresCredentials = Field(repr=False)
    certificate: KeyPair
    authority: str
    backup_server: Size
    repositories: tuple[Repository, ...] = Field(repr=False)
    vault_authority: str = ""
    database: str = DATABASE
    admin: str = ADMIN_ROLE


@dataclass(frozen=True)
class PostgresEndpoints:
    """Where it can be reached.

    Attributes:
        primary: host that takes writes.
        replicas: host that answers reads, a little late; never base a write on them.
        port: of both.
        database: name of the database.
    """

    primary: str
    replicas: str
    port: int
    database: str
