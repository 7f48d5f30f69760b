"""Settings of a process, read from `ESQ_...` variables; all errors are reported together.

A service composes the groups it needs: `class Settings(ProcessSettings, DatabaseSettings, KafkaSettings):
...`.
"""

from __future__ import annotations

import re
from pathlib import Path  # noqa: TC003 - pydantic reads the annotation when it runs
from typing import TYPE_CHECKING, Annotated, Self, TypeVar

from pydantic import (
    AnyHttpUrl,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from services.contracts.endpoints import HTTP_PORT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic_core import ErrorDetails

PREFIX = "ESQ_"
_SEPARATORS = re.compile(r"[\s,]+")


class SettingsError(Exception):
    """The environment variables are incomplete or invalid; the text lists every error, one per line."""


def _split(value: object) -> object:
    return [part for part in _SEPARATORS.split(value) if part] if isinstance(value, str) else value


_Secret = TypeVar("_Secret", bound=SecretStr)
SecretList = Annotated[tuple[_Secret, ...], NoDecode, BeforeValidator(_split), Field(min_length=1)]
"""Secrets, separated by commas or white space: the first is used, and all of them are accepted, so that a
rotation can replace a secret without rejecting what was signed with the previous one."""


_TokenKey = Annotated[SecretStr, Field(min_length=32)]


def secret_values(secrets: Sequence[SecretStr]) -> tuple[str, ...]:
    """Return the secrets as plain texts, the used one first."""
    return tuple(secret.get_secret_value() for secret in secrets)


class SettingsGroup(BaseSettings):
    """Base of all groups: prefix, immutability, unknown variables ignored (other processes have theirs)."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)


class ProcessSettings(SettingsGroup):
    """Settings of every process: name, listen address, certificates and shutdown."""

    service: str = Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")
    """Name of the service; also of its schema, role, consumer group and log lines."""
    environment: str = "local"
    """Name of the environment; used in logs only."""
    process: str = ""
    """Name of the process, e.g. `whatsapp-dispatcher`; used in traces only."""
    instance: str = ""
    """Name of this replica, used in traces only; the host name by default."""
    zone: str = ""
    """Zone of this replica; used in traces only."""
    traces_endpoint: AnyHttpUrl | None = None
    """OTLP/HTTP address of the collector of traces, without path; unset means that no spans are recorded."""
    traces_password: SecretStr | None = None
    """Password of the account `esq` of the collector; unset means no login."""
    traces_ratio: float = Field(default=0.05, ge=0, le=1)
    """Share of the traces that are recorded, of those that start here: a caller's trace is recorded if the
    caller records it."""
    traces_queue_size: int = Field(default=2048, ge=1, le=65_536)
    """Finished spans that wait for their export; further ones are dropped. A span takes about 2 KB."""
    log_level: str = "INFO"
    """Lowest level that is logged."""
    host: str = "0.0.0.0"  # noqa: S104 - a pod's address is not known before it runs
    """Address to listen on."""
    port: int = HTTP_PORT
    """TCP port to listen on."""
    ca_file: Path | None = None
    """CA certificates that servers are verified with; unset means plain connections, for tests only."""
    tls_cert: Path | None = None
    """Certificate chain of this process's HTTPS server; unset means plain HTTP, for tests only."""
    tls_key: Path | None = None
    """Private key of `tls_cert`."""
    grace_seconds: float = 3.0
    """Seconds after SIGTERM in which the process still answers while readiness removes it from rotation."""
    drain_seconds: float = 15.0
    """Seconds after the grace period in which requests and tasks may end before they are cancelled."""

    @field_validator("ca_file", "tls_cert", "tls_key")
    @classmethod
    def _readable(cls, value: Path | None) -> Path | None:
        """Reject a missing file before anything starts."""
        if value is not None and not value.is_file():
            raise ValueError(f"no such file: {value}")
        return value


class DatabaseSettings(SettingsGroup):
    """Postgres: addresses, pool size and timeouts."""

    database_url: SecretStr
    """`postgresql+asyncpg://role:password@host:port/database`."""
    database_standby_url: SecretStr | None = None
    """The same for a standby, read from while the primary is unavailable; unset means that reads wait too."""
    database_pool_size: int = Field(default=8, ge=1, le=50)
    """Upper bound of connections, opened on demand and kept: opening one costs more than 20 statements."""
    database_connect_timeout_seconds: float = Field(default=3.0, gt=0)
    """Timeout of a new connection, including TLS and login."""
    database_statement_timeout_seconds: float = Field(default=10.0, gt=0)
    """Timeout of one statement, enforced by the server and, a little later, by the client."""
    database_pool_timeout_seconds: float = Field(default=5.0, gt=0)
    """Longest wait for a free connection of the pool."""


class RequestDatabaseSettings(DatabaseSettings):
    """Postgres for a process that answers requests: a caller waits for every statement.

    A connection to a former primary may hang. Its request, and those that wait for a lock that it holds, are
    repeated on new connections for ten seconds (`http.retrying_route`): the timeout must be well below.
    """

    database_statement_timeout_seconds: float = Field(default=4.0, gt=0, le=6)
    """As in `DatabaseSettings`, but shorter."""


class KafkaSettings(SettingsGroup):
    """Kafka: addresses, credentials and batch size."""

    kafka_bootstrap: str
    """`host:port` of one or more brokers, comma separated."""
    kafka_username: str | None = None
    """SASL user; unset means no authentication."""
    kafka_password: SecretStr | None = None
    """SASL password."""
    kafka_mechanism: str = "SCRAM-SHA-512"
    """SASL mechanism."""
    kafka_batch_size: int = Field(default=50, ge=1, le=500)
    """Upper bound of records handled in one transaction; each may contain a hundred messages."""


class RedisSettings(SettingsGroup):
    """Redis: Sentinels, or a single server without Sentinel, which is for tests."""

    redis_sentinels: str = ""
    """`host:port` of the Sentinels, comma separated; any of them knows the primary."""
    redis_master: str = "esq"
    """Master name of the Sentinel configuration."""
    redis_server: str = ""
    """`host:port` of a single server without Sentinels."""
    redis_username: str | None = None
    """Account on the servers and on the Sentinels; unset means no login."""
    redis_password: SecretStr | None = None
    """Password of the account."""
    redis_timeout_seconds: float = Field(default=1.0, gt=0, le=10)
    """Deadline of a call, including the lookup of the primary and the connection."""
    redis_long_poll_seconds: float = Field(default=1.0, gt=0, le=10)
    """Longest wait for a new job; a worker that missed its wake-up is delayed by this."""
    redis_max_connections: int = Field(default=16, ge=2, le=200)
    """Upper bound of open connections; a worker that waits for a job occupies one."""

    @model_validator(mode="after")
    def _valid_addresses(self) -> Self:
        """Reject settings without a server, with both kinds, or with addresses without a port."""
        if bool(self.redis_sentinels) == bool(self.redis_server):
            raise ValueError("either ESQ_REDIS_SENTINELS or ESQ_REDIS_SERVER must be set, not both")
        for address in (self.redis_sentinels or self.redis_server).split(","):
            host, _, port = address.rpartition(":")
            if not host or not port.isdigit():
                raise ValueError(f"not host:port: {address!r}")
        return self


class TokenSettings(SettingsGroup):
    """Authentication of callers."""

    token_keys: SecretList[_TokenKey]
    """HMAC keys of the bearer tokens, at least 32 characters each: the first signs, all verify."""


Settings = TypeVar("Settings", bound=SettingsGroup)


def load(settings_class: type[Settings]) -> Settings:
    """Read settings from the environment variables.

    Returns:
        The settings.

    Raises:
        SettingsError: variables are missing or invalid; all are listed, values of secrets are not repeated.
    """
    try:
        return settings_class()
    except ValidationError as error:
        problems = "\n".join(
            _problem(details) for details in error.errors(include_input=False, include_url=False)
        )
        raise SettingsError(f"invalid environment variables:\n{problems}") from None


def _problem(details: ErrorDetails) -> str:
    """Return one line: the variable, the position in its value, and the problem."""
    variable, *position = (str(part) for part in details["loc"] or ("",))
    name = PREFIX + variable.upper().removeprefix(PREFIX)
    return f"- {': '.join([name, *filter(None, ['.'.join(position)]), details['msg']])}"
