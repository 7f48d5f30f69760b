"""Settings of the processes."""

from __future__ import annotations

from pydantic import AnyHttpUrl, Field, SecretStr

from services.kit.settings import (
    DatabaseSettings,
    KafkaSettings,
    ProcessSettings,
    RedisSettings,
    TokenSettings,
)


class WhatsappSettings(ProcessSettings, DatabaseSettings):
    """What all of them are given."""

    service: str = "whatsapp"
    messages_per_second: float = Field(default=80.0, gt=0, le=2000)
    """Of a connection that states no rate of its own; 80 is what the provider grants a new number."""


class ApiSettings(WhatsappSettings, TokenSettings, RedisSettings):
    """Of the process that takes connections and callbacks, and shows the queues to operators."""

    app_secret: SecretStr
    """Key of the signature on every callback."""
    verify_token: SecretStr
    """What the provider shows in the handshake."""


class WorkerSettings(WhatsappSettings, KafkaSettings, RedisSettings):
    """Of the process that takes requests, sweeps leases and relays events."""

    sweep_seconds: float = Field(default=2.0, gt=0)
    """Between two looks at lapsed leases."""


class CallbacksSettings(WhatsappSettings):
    """Of the process that works on callbacks."""

    database_pool: int = Field(default=3, ge=1, le=50)
    """Connections to keep: one a task, and one for the health check."""
    callback_keep_days: float = Field(default=30, gt=0)
    """Raw callbacks are kept so long after they were worked on, for questions and for later readers."""


class DispatcherSettings(WhatsappSettings, RedisSettings):
    """Of the process that calls the provider."""

    cloud_api_url: AnyHttpUrl
    """Base address, without the version."""
    cloud_api_version: str = Field(default="v25.0", pattern=r"^v\d+\.\d+$")
    """Version of the Graph API."""
    cloud_api_token: SecretStr
    """Bearer token of the numbers."""
    concurrency: int = Field(default=192, ge=1, le=1000)
    """Calls under way at once."""
    batch: int = Field(default=96, ge=1, le=500)
    """Most messages claimed at once: each claim waits for a commit here and on a standby. A killed dispatcher
    leaves uncertain what it has claimed, so no more are claimed than can be sent at once."""
    most_attempts: int = Field(default=10, ge=1)
    """A message that was refused for a passing reason so many times has failed."""
    attempt_seconds: float = Field(default=10.0, gt=0, le=60)
    """For one call; the longest that an attempt can take."""
    grace_seconds_for_results: float = Field(default=20.0, gt=0)
    """After the longest attempt a result has so long to be written; then the message is uncertain."""
