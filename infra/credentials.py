"""Every credential of an environment: made once, kept as one secret, completed and renewed by each deploy.

Why here and not in a Pulumi program: programs are run again and again and must give the same answer, so
nothing in them may be random. `complete` is called before a deploy with what was kept, and returns it with
what was missing added.

Certificates come from the environment's own authority. The authority lives ten years and a certificate one;
`complete` issues a certificate again, with a new key, when less than `RENEW_BEFORE` is left of it or when
its names have changed. The Secrets change with it, pods carry a digest of their Secrets in an annotation,
and so the same deploy rolls them. An environment that is deployed at least once a month therefore never
meets an expired certificate; one that is not must be deployed before `expires_at`. The authority itself is
not renewed: that is a new environment.
"""

from __future__ import annotations

import base64
import datetime as dt
import secrets
import uuid
from typing import Annotated
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from pydantic import BaseModel, ConfigDict, Field

from infra.authority import KeyPair, issue, new_authority, still_good
from infra.names import CERTIFICATE_NAMES, SERVICES, STATEFUL_REPLICAS

RENEW_BEFORE = dt.timedelta(days=60)
"""A certificate with less left than this is issued again by the next deploy."""

_BYTES = 24
"""Randomness of a password: 192 bits, 32 characters, all of them fit in URLs, JAAS files and shells."""


def _password() -> str:
    return secrets.token_urlsafe(_BYTES)


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


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PostgresCredentials(_Frozen):
    """Accounts of the database server.

    Attributes:
        superuser: password of `postgres`, used by Patroni only.
        replication: password of `replicator`.
        admin: password of `esq_admin`, which migrations use to make roles and schemas.
        services: password of each service's own role.
        patroni: password that Patroni members show each other before a switchover or restart is obeyed.
        backup: password of `esq_backup`, which may begin and end a backup.
        witness: password of `esq_witness`, which reads what it takes checksums of.
    """

    superuser: Secret = Field(default_factory=_password)
    replication: Secret = Field(default_factory=_password)
    admin: Secret = Field(default_factory=_password)
    patroni: Secret = Field(default_factory=_password)
    backup: Secret = Field(default_factory=_password)
    witness: Secret = Field(default_factory=_password)
    services: dict[str, str] = Field(default_factory=dict, repr=False)


class KafkaCredentials(_Frozen):
    """Accounts of the brokers.

    Attributes:
        cluster_id: 22 characters that every volume is formatted with; a broker refuses a volume of another
            cluster.
        broker: password the brokers and controllers use among themselves.
        admin: password of `esq`, which declares topics and asks for status.
        services: password of each service.
    """

    cluster_id: str = Field(default_factory=_cluster_id)
    broker: Secret = Field(default_factory=_password)
    admin: Secret = Field(default_factory=_password)
    services: dict[str, str] = Field(default_factory=dict, repr=False)


class RedisCredentials(_Frozen):
    """Passwords of Redis.

    Attributes:
        password: of the servers, for clients and replicas.
        sentinel: of the Sentinels.
    """

    password: Secret = Field(default_factory=_password)
    sentinel: Secret = Field(default_factory=_password)


class ObjectsCredentials(_Frozen):
    """Keys of the object store.

    Attributes:
        rpc_secret: 32 bytes in hex that nodes recognise each other by.
        admin_token: bearer token of the admin API.
        key_id: S3 access key of the media bucket, in the form Garage imports.
        key_secret: S3 secret key.
        backup_key_id: S3 access key of the backup bucket.
        backup_key_secret: S3 secret key of it.
        node_keys: an Ed25519 key (seed and public half, hex) for each node, so that nodes know each other
            before they have met and keep their identity when a volume is lost.
    """

    rpc_secret: Secret = Field(default_factory=lambda: secrets.token_hex(32))
    admin_token: Secret = Field(default_factory=_password)
    key_id: str = Field(default_factory=lambda: f"GK{secrets.token_hex(12)}")
    key_secret: Secret = Field(default_factory=lambda: secrets.token_hex(32))
    backup_key_id: str = Field(default_factory=lambda: f"GK{secrets.token_hex(12)}")
    backup_key_secret: Secret = Field(default_factory=lambda: secrets.token_hex(32))
    node_keys: tuple[str, ...] = Field(
        default_factory=lambda: tuple(_node_key() for _ in range(STATEFUL_REPLICAS)), repr=False
    )

    @property
    def node_ids(self) -> tuple[str, ...]:
        """Public identity of each node: the second half of its key."""
        return tuple(key[64:] for key in self.node_keys)


class BackupCredentials(_Frozen):
    """What backups are encrypted with. Lost with the environment's folder, and every backup with it.

    Attributes:
        cipher: pass of the repository inside the environment.
        vault_cipher: pass of the repository outside of it.
    """

    cipher: Secret = Field(default_factory=lambda: secrets.token_urlsafe(48))
    vault_cipher: Secret = Field(default_factory=lambda: secrets.token_urlsafe(48))


class VaultAccess(_Frozen):
    """An S3 store outside of the environment's failure domain.

    Attributes:
        url: `https://host[:port]`; buckets stand in the path.
        region: signatures cover it.
        bucket: that is there already.
        key_id: access key that may read, write and list the bucket.
        key_secret: its secret.
        authority: PEM of the authority that signed the store's certificate.
        address: IP address behind the name of the Service `vault`, for a store that no name leads to.
    """

    url: str = Field(pattern=r"^https://[^/\s]+$")
    region: str
    bucket: str
    key_id: str
    key_secret: Secret
    authority: str
    address: str | None = None

    @property
    def host(self) -> str:
        """Name of the store."""
        return str(urlsplit(self.url).hostname)

    @property
    def port(self) -> int:
        """Port of the store."""
        return urlsplit(self.url).port or 443


class ApplicationCredentials(_Frozen):
    """What the services sign and check with.

    Attributes:
        token_key: HMAC key of the bearer tokens that carry company and scope.
        cloud_api_token: what the platform shows the WhatsApp Cloud API (here: the simulator).
        app_secret: HMAC key of the callbacks' signatures.
        verify_token: answered in the callbacks' handshake.
    """

    token_key: Secret = Field(default_factory=lambda: secrets.token_urlsafe(48))
    cloud_api_token: Secret = Field(default_factory=_password)
    app_secret: Secret = Field(default_factory=_password)
    verify_token: Secret = Field(default_factory=_password)


class Credentials(_Frozen):
    """All of an environment. Serialise with `model_dump_json()` into one encrypted value, nowhere else.

    Attributes:
        authority: the environment's certificate authority.
        certificates: a key and certificate for each name of `infra.names.CERTIFICATE_NAMES`.
        vault: where backups go that must outlive the environment; None: nowhere.
    """

    authority: KeyPair = Field(default_factory=new_authority)
    certificates: dict[str, KeyPair] = Field(default_factory=dict)
    postgres: PostgresCredentials = Field(default_factory=PostgresCredentials)
    redis: RedisCredentials = Field(default_factory=RedisCredentials)
    kafka: KafkaCredentials = Field(default_factory=KafkaCredentials)
    objects: ObjectsCredentials = Field(default_factory=ObjectsCredentials)
    backup: BackupCredentials = Field(default_factory=BackupCredentials)
    vault: VaultAccess | None = None
    application: ApplicationCredentials = Field(default_factory=ApplicationCredentials)

    @property
    def expires_at(self) -> dt.datetime:
        """When the first certificate ends (UTC): the day the environment must have been deployed again."""
        return min(pair.expires_at for pair in self.certificates.values())


def _with_services(passwords: dict[str, str]) -> dict[str, str]:
    return {service: passwords.get(service) or _password() for service in SERVICES}


def complete(kept: Credentials | None = None, *, now: dt.datetime | None = None) -> Credentials:
    """Return `kept` with everything missing added and every ageing certificate issued again.

    What is there stays as it is, so that a deploy with nothing missing changes nothing.

    Args:
        kept: the credentials of the last deploy; None for a new environment.
        now: the time (UTC) that certificates are judged by.
    """
    credentials = kept or Credentials()
    soon = (now or dt.datetime.now(dt.UTC)) + RENEW_BEFORE
    certificates = {
        name: pair
        if (pair := credentials.certificates.get(name)) and still_good(pair, names, soon)
        else issue(credentials.authority, name, names, now=now)
        for name, names in CERTIFICATE_NAMES.items()
    }
    postgres = credentials.postgres.model_copy(
        update={"services": _with_services(credentials.postgres.services)}
    )
    kafka = credentials.kafka.model_copy(update={"services": _with_services(credentials.kafka.services)})
    return credentials.model_copy(update={"certificates": certificates, "postgres": postgres, "kafka": kafka})
