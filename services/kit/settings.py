"""Settings of a process, read from `ESQ_...` variables, all faults told together.

A service composes the groups it needs: `class Settings(ProcessSettings, DatabaseSettings, KafkaSettings):
...`.
"""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic reads the annotation when it runs
from typing import TYPE_CHECKING, Self, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.contracts.ports import HTTP_PORT

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

PREFIX = "ESQ_"


class SettingsError(Exception):
    """The environment describes no process that could run; every fault is in the text, one per line."""


class SettingsGroup(BaseSettings):
    """Base of all groups: prefix, immutability, unknown variables ignored (other processes have theirs)."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)


class ProcessSettings(SettingsGroup):
    """What every process has: a name, a place to listen, its certificates and how it stops."""

    service: str = Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")
    """Name of the service: of its schema, role, consumer groups and log lines."""
    environment: str = "local"
    """Name of the environment; only told in logs."""
    log_level: str = "INFO"
    """Least severe level that is written."""
    host: str = "0.0.0.0"  # noqa: S104 - a pod's address is not known before it runs
    """Address to listen on."""
    port: int = HTTP_PORT
    """TCP port to listen on."""
    ca_file: Path | None = None
    """Certificates that servers are verified with; unset means plain connections, for tests only."""
    tls_cert: Path | None = None
    """Certificate chain of this process's own HTTPS; unset means plain HTTP, for tests only."""
    tls_key: Path | None = None
    """Private key of `tls_cert`."""
    grace_seconds: float = 3.0
    """After SIGTERM the process still answers for this long, while readiness sends traffic elsewhere."""
    drain_seconds: float = 15.0
    """Then requests and tasks under way have this long to end before they are cancelled."""

    @field_validator("ca_file", "tls_cert", "tls_key")
    @classmethod
    def _readable(cls, value: Path | None) -> Path | None:
        """Refuse a file that is not there, before anything starts."""
        if value is not None and not value.is_file():
            raise ValueError(f"no such file: {value}")
        return value


class DatabaseSettings(SettingsGroup):
    """Where Postgres is, and how long it may take."""

    database_url: SecretStr
    """`postgresql+asyncpg://role:password@host:port/database`."""
    database_standby_url: SecretStr | None = None
    """The same for a standby: read from while the primary is away; unset means that reads wait as well."""
    database_pool: int = Field(default=8, ge=1, le=50)
    """Connections at most. Opened when needed and kept: opening one costs more than twenty statements."""
    database_connect_seconds: float = Field(default=3.0, gt=0)
    """For a new connection, its TLS and its login together."""
    database_statement_seconds: float = Field(default=10.0, gt=0)
    """For one statement, held by the server and, a little later, by the client."""
    database_wait_seconds: float = Field(default=5.0, gt=0)
    """For a free connection of the pool."""


class KafkaSettings(SettingsGroup):
    """Where Kafka is, and who we are there."""

    kafka_bootstrap: str
    """`host:port` of one or more brokers, comma separated."""
    kafka_username: str | None = None
    """SASL user; unset means none is asked for."""
    kafka_password: SecretStr | None = None
    """SASL password."""
    kafka_mechanism: str = "SCRAM-SHA-512"
    """SASL mechanism."""
    kafka_batch: int = Field(default=50, ge=1, le=500)
    """Most records that are handled in one transaction; each may tell of a hundred messages."""


class RedisSettings(SettingsGroup):
    """Where Redis is: by its Sentinels, or one server without any, which is for tests."""

    redis_sentinels: str = ""
    """`host:port` of Sentinels, comma separated: any of them knows the primary."""
    redis_master: str = "esq"
    """What the Sentinels call the group of servers."""
    redis_server: str = ""
    """`host:port` of a single server, where there are no Sentinels."""
    redis_password: SecretStr | None = None
    """Of the servers."""
    redis_sentinel_password: SecretStr | None = None
    """Of the Sentinels."""
    redis_seconds: float = Field(default=1.0, gt=0, le=10)
    """For a call, with finding the primary and connecting to it."""
    redis_arrival_seconds: float = Field(default=1.0, gt=0, le=10)
    """Longest wait for an arrival; a worker that missed its wake-up is so late."""
    redis_connections: int = Field(default=16, ge=2, le=200)
    """Most that are open at once; a worker that waits for arrivals holds one."""

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        """Refuse settings that name no server, or addresses without a port."""
        if bool(self.redis_sentinels) == bool(self.redis_server):
            raise ValueError("either ESQ_REDIS_SENTINELS or ESQ_REDIS_SERVER must be set, not both")
        for address in (self.redis_sentinels or self.redis_server).split(","):
            host, _, port = address.rpartition(":")
            if not host or not port.isdigit():
                raise ValueError(f"not host:port: {address!r}")
        return self


class TokenSettings(SettingsGroup):
    """How callers prove who they are."""

    token_key: SecretStr = Field(min_length=32)
    """HMAC key of the bearer tokens, at least 32 characters."""


Settings = TypeVar("Settings", bound=SettingsGroup)


def load(kind: type[Settings]) -> Settings:
    """Read settings from the environment.

    Raises:
        SettingsError: something is missing or wrong; all of it is named, no value of a secret is repeated.
    """
    try:
        return kind()
    except ValidationError as error:
        faults = "\n".join(_fault(fault) for fault in error.errors(include_input=False, include_url=False))
        raise SettingsError(f"the environment of this process is not complete:\n{faults}") from None


def _fault(fault: ErrorDetails) -> str:
    """One line: the variable and what is wrong with it."""
    name = PREFIX + "_".join(str(part) for part in fault["loc"]).upper().removeprefix(PREFIX)
    return f"- {name}: {fault['msg']}"
