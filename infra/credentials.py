"""All credentials of an environment: created once, stored as a secret, completed and renewed by deploys.

They are not created by a Pulumi program: programs run many times and must give the same result, so they must
not contain randomness. A deploy first calls `complete_credentials` with the stored credentials, which adds
what is missing.

Certificates are issued by the environment's own certificate authority. The CA is valid for ten years, a
certificate for one. `complete_credentials` issues a certificate again, with a new key, if less than
`RENEW_BEFORE` remains or if its names or its usage have changed. The Secrets change with it, pods carry a
digest of their Secrets in an annotation, and so the same deploy restarts them. An environment that is
deployed at least once a month therefore never has an expired certificate; otherwise it must be deployed
before `expires_at`.

`infra.credentials_rotation` replaces the CA and all keys and passwords by those of a second generation.
"""

from __future__ import annotations

import base64
import datetime as dt
import secrets
import uuid
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from pydantic import BaseModel, ConfigDict, Field

from infra.certificate_authority import KeyPair, Usage, create_ca, is_valid, issue_certificate
from infra.names import (
    CERTIFICATE_NAMES,
    CLIENT_CERTIFICATES,
    PROBE_ROLE,
    REPLICATION_ROLE,
    REWIND_ROLE,
    SERVICES,
    STATEFUL_REPLICAS,
    VERIFIER_ROLE,
    login_role,
)
from infra.processes import KAFKA_SERVICES, REDIS_SERVICES

if TYPE_CHECKING:
    from collections.abc import Iterable

RENEW_BEFORE = dt.timedelta(days=60)
"""The next deploy renews a certificate with less than this remaining."""

_PASSWORD_BYTES = 24
"""Randomness of a password: 192 bits, 32 characters, all of them safe in URLs, JAAS files and shells."""


def _password() -> str:
    return secrets.token_urlsafe(_PASSWORD_BYTES)


def _cluster_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()


def _node_key() -> str:
    key = ed25519.Ed25519PrivateKey.generate()
    seed = key.private_bytes(
        serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return (seed + public).hex()


Secret = Annotated[str, Field(repr=False)]


class FrozenModel(BaseModel):
    """Base of the credentials: immutable, without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PostgresCredentials(FrozenModel):
    """Accounts of the database server that log in over the network (ADR 41).

    Attributes:
        replication: password of the replication between the members.
        rewind: password with which a former primary reads the files of the new one.
        patroni: password of Patroni's REST API, required for switchovers and restarts.
        backup_verifier: password of the backup verifier.
        probe: password of the experiments' traffic.
        services: password of each service.
    """

    replication: Secret = Field(default_factory=_password)
    rewind: Secret = Field(default_factory=_password)
    patroni: Secret = Field(default_factory=_password)
    backup_verifier: Secret = Field(default_factory=_password)
    probe: Secret = Field(default_factory=_password)
    services: dict[str, str] = Field(default_factory=dict, repr=False)

    @property
    def by_role(self) -> dict[str, str]:
        """Password by role; the login role has the generation as its suffix."""
        return {
            REPLICATION_ROLE: self.replication,
            REWIND_ROLE: self.rewind,
            VERIFIER_ROLE: self.backup_verifier,
            PROBE_ROLE: self.probe,
            **self.services,
        }


class KafkaCredentials(FrozenModel):
    """Accounts of the brokers.

    Attributes:
        cluster_id: 22 characters with which every volume is formatted; a broker rejects a volume of another
            cluster.
        broker: password of brokers and controllers among themselves.
        admin: password of `esq`, which creates topics and queries the status.
        services: password of each service that uses Kafka.
    """

    cluster_id: str = Field(default_factory=_cluster_id)
    broker: Secret = Field(default_factory=_password)
    admin: Secret = Field(default_factory=_password)
    services: dict[str, str] = Field(default_factory=dict, repr=False)


class RedisCredentials(FrozenModel):
    """Passwords of the accounts of Redis, on servers and on Sentinels.

    Attributes:
        admin: password of `admin`, which may do everything.
        probe: password of `probe`, which reads the state for probes and the status.
        replication: password of `replication`, with which replicas log in to their primary.
        sentinel: password of `sentinel`, with which Sentinels log in to servers and to each other.
        services: password of each service that uses Redis.
    """

    admin: Secret = Field(default_factory=_password)
    probe: Secret = Field(default_factory=_password)
    replication: Secret = Field(default_factory=_password)
    sentinel: Secret = Field(default_factory=_password)
    services: dict[str, str] = Field(default_factory=dict, repr=False)


class ObjectStoreCredentials(FrozenModel):
    """Keys of the object store.

    Attributes:
        rpc_secret: shared secret of the nodes, 32 bytes in hex.
        admin_token: bearer token of the admin API.
        media_key_id: S3 access key of the media bucket, in the format that Garage imports.
        media_key_secret: its secret key.
        backup_key_id: S3 access key of the backup bucket.
        backup_key_secret: its secret key.
        node_keys: an Ed25519 key (seed and public half, hex) for each node, so that nodes know each other
            before their first connection and keep their identity when a volume is lost.
    """

    rpc_secret: Secret = Field(default_factory=lambda: secrets.token_hex(32))
    admin_token: Secret = Field(default_factory=_password)
    media_key_id: str = Field(default_factory=lambda: f"GK{secrets.token_hex(12)}")
    media_key_secret: Secret = Field(default_factory=lambda: secrets.token_hex(32))
    backup_key_id: str = Field(default_factory=lambda: f"GK{secrets.token_hex(12)}")
    backup_key_secret: Secret = Field(default_factory=lambda: secrets.token_hex(32))
    node_keys: tuple[str, ...] = Field(
        default_factory=lambda: tuple(_node_key() for _ in range(STATEFUL_REPLICAS)), repr=False
    )

    @property
    def node_ids(self) -> tuple[str, ...]:
        """Public id of each node: the second half of its key."""
        return tuple(key[64:] for key in self.node_keys)


class BackupCredentials(FrozenModel):
    """Passphrases of the backups. If the environment stack is lost, they and thus all backups are lost.

    Attributes:
        cipher_pass: passphrase of the repository inside the environment.
        offsite_cipher_pass: passphrase of the off-site repository.
    """

    cipher_pass: Secret = Field(default_factory=lambda: secrets.token_urlsafe(48))
    offsite_cipher_pass: Secret = Field(default_factory=lambda: secrets.token_urlsafe(48))


class OffsiteStoreAccess(FrozenModel):
    """An S3 store outside of the environment's failure domain.

    Attributes:
        url: `https://host[:port]`; buckets are addressed by path.
        region: region of the signature.
        bucket: name of an existing bucket.
        key_id: access key that may read, write and list the bucket.
        key_secret: its secret key.
        ca_certificate: PEM of the CA that signed the store's certificate.
        ip_address: IP address behind the Service `offsite-store`, for a store without a DNS name.
    """

    url: str = Field(pattern=r"^https://[^/\s]+$")
    region: str
    bucket: str
    key_id: str
    key_secret: Secret
    ca_certificate: str
    ip_address: str | None = None

    @property
    def host(self) -> str:
        """Host of the store."""
        return str(urlsplit(self.url).hostname)

    @property
    def port(self) -> int:
        """Port of the store."""
        return urlsplit(self.url).port or 443


class ApplicationCredentials(FrozenModel):
    """Keys and tokens of the services.

    Attributes:
        token_key: HMAC key of the bearer tokens, which contain company and scope.
        cloud_api_token: token of the platform for the WhatsApp Cloud API (here: the simulator).
        app_secret: HMAC key of the webhook signatures.
        verify_token: token of the webhook verification request.
    """

    token_key: Secret = Field(default_factory=lambda: secrets.token_urlsafe(48))
    cloud_api_token: Secret = Field(default_factory=_password)
    app_secret: Secret = Field(default_factory=_password)
    verify_token: Secret = Field(default_factory=_password)


class ObservabilityCredentials(FrozenModel):
    """Password and token of the observability layer.

    Attributes:
        password: password of the servers among themselves.
        token: token of the gateway, for people and for the toolkit.
    """

    password: Secret = Field(default_factory=_password)
    token: Secret = Field(default_factory=_password)


class RotationPhase(StrEnum):
    """Phase of a rotation; each is deployed completely before the next one starts."""

    ACCEPT = "accept"
    """Servers accept both generations; the old one is used."""
    USE = "use"
    """The new generation is used; servers still accept the old one."""
    RETIRE = "retire"
    """Servers accept the new generation only."""


class Credentials(FrozenModel):
    """All credentials of an environment.

    Serialise them with `model_dump_json()` into one encrypted value, nowhere else.

    Attributes:
        ca: the environment's certificate authority.
        certificates: key pair for each name in `infra.names.CERTIFICATE_NAMES`.
        postgres: accounts of the database server.
        redis: accounts of Redis.
        kafka: accounts of the brokers.
        object_store: keys of the object store.
        backup: passphrases of the backups.
        offsite_store: store of the backups that must outlive the environment; None if there is none.
        application: keys and tokens of the services.
        observability: password and token of the observability layer.
        generation: suffix of account names on servers with one password per account; changed by a rotation.
        alternate: the other generation during a rotation, which servers accept too; it has no alternate.
        rotation: phase of the rotation that is in progress; None if there is none.
    """

    ca: KeyPair = Field(default_factory=create_ca)
    certificates: dict[str, KeyPair] = Field(default_factory=dict)
    postgres: PostgresCredentials = Field(default_factory=PostgresCredentials)
    redis: RedisCredentials = Field(default_factory=RedisCredentials)
    kafka: KafkaCredentials = Field(default_factory=KafkaCredentials)
    object_store: ObjectStoreCredentials = Field(default_factory=ObjectStoreCredentials)
    backup: BackupCredentials = Field(default_factory=BackupCredentials)
    offsite_store: OffsiteStoreAccess | None = None
    application: ApplicationCredentials = Field(default_factory=ApplicationCredentials)
    observability: ObservabilityCredentials = Field(default_factory=ObservabilityCredentials)
    generation: Literal["a", "b"] = "a"
    alternate: Credentials | None = None
    rotation: RotationPhase | None = None

    @property
    def accepted(self) -> tuple[Credentials, ...]:
        """The generations that servers accept; the first one is used."""
        return (self,) if self.alternate is None else (self, self.alternate)

    @property
    def ca_bundle(self) -> str:
        """PEM of the certificate authorities that clients and servers trust."""
        return "".join(credentials.ca.certificate for credentials in self.accepted)

    @property
    def postgres_logins(self) -> dict[str, str]:
        """Password by login role of Postgres, of every accepted generation."""
        return {
            login_role(role, credentials.generation): password
            for credentials in self.accepted
            for role, password in credentials.postgres.by_role.items()
        }

    @property
    def expires_at(self) -> dt.datetime:
        """Earliest expiry of a certificate (UTC): the environment must be deployed before it."""
        return min(pair.expires_at for pair in self.certificates.values())


def _with_services(passwords: dict[str, str], services: Iterable[str] = SERVICES) -> dict[str, str]:
    return {service: passwords.get(service) or _password() for service in services}


def _usage(certificate: str) -> Usage:
    return Usage.CLIENT if certificate in CLIENT_CERTIFICATES else Usage.SERVER


def complete_credentials(
    existing: Credentials | None = None, *, now: dt.datetime | None = None
) -> Credentials:
    """Return the credentials with missing ones added and expiring certificates renewed.

    Existing values stay unchanged, so a deploy with complete credentials changes nothing. During a rotation
    both generations are completed.

    Args:
        existing: credentials of the last deploy; None for a new environment.
        now: current time (UTC) for the expiry of certificates.
    """
    credentials = existing or Credentials()
    renewal_limit = (now or dt.datetime.now(dt.UTC)) + RENEW_BEFORE
    certificates = {
        name: pair
        if (pair := credentials.certificates.get(name))
        and is_valid(pair, dns_names, renewal_limit, _usage(name))
        else issue_certificate(credentials.ca, name, dns_names, _usage(name), now=now)
        for name, dns_names in CERTIFICATE_NAMES.items()
    }
    postgres = credentials.postgres.model_copy(
        update={"services": _with_services(credentials.postgres.services)}
    )
    kafka = credentials.kafka.model_copy(
        update={"services": _with_services(credentials.kafka.services, KAFKA_SERVICES)}
    )
    redis = credentials.redis.model_copy(
        update={"services": _with_services(credentials.redis.services, REDIS_SERVICES)}
    )
    alternate = complete_credentials(credentials.alternate, now=now) if credentials.alternate else None
    return credentials.model_copy(
        update={
            "certificates": certificates,
            "postgres": postgres,
            "kafka": kafka,
            "redis": redis,
            "alternate": alternate,
        }
    )
