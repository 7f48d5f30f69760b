"""Settings of the processes."""

from __future__ import annotations

from pydantic import AnyHttpUrl, Field, SecretStr

from services.kit.settings import (
    DatabaseSettings,
    KafkaSettings,
    ProcessSettings,
    RedisSettings,
    RequestDatabaseSettings,
    SecretList,
    TokenSettings,
)


class WhatsappSettings(ProcessSettings, DatabaseSettings):
    """Settings of all processes."""

    service: str = "whatsapp"
    messages_per_second: float = Field(default=80.0, gt=0, le=2000)
    """Rate of a connection that states none; 80 is what the provider grants a new number."""


class ApiSettings(RequestDatabaseSettings, WhatsappSettings, TokenSettings, RedisSettings):
    """Settings of the API."""

    app_secrets: SecretList[SecretStr]
    """Accepted keys of the webhooks' signature."""
    verify_tokens: SecretList[SecretStr]
    """Accepted tokens of the provider's webhook verification request."""


class WorkerSettings(WhatsappSettings, KafkaSettings, RedisSettings):
    """Settings of the worker."""

    sweep_interval_seconds: float = Field(default=2.0, gt=0)
    """Time between two sweeps of expired leases."""


class WebhookProcessorSettings(WhatsappSettings):
    """Settings of the webhook processor."""

    database_pool_size: int = Field(default=3, ge=1, le=50)
    """One connection per task, and one for the health check."""
    webhook_retention_days: float = Field(default=30, gt=0)
    """Time that raw webhooks are kept after processing, for investigations and later parsers."""


class DispatcherSettings(WhatsappSettings, RedisSettings):
    """Settings of the dispatcher."""

    cloud_api_url: AnyHttpUrl
    """Base address, without the version."""
    cloud_api_version: str = Field(default="v25.0", pattern=r"^v\d+\.\d+$")
    """Version of the Graph API."""
    cloud_api_tokens: SecretList[SecretStr]
    """Bearer tokens of the numbers: the first is sent."""
    concurrency: int = Field(default=192, ge=1, le=1000)
    """Maximum number of calls in flight."""
    batch: int = Field(default=96, ge=1, le=500)
    """Maximum number of messages per lease: each lease waits for a commit here and on a standby. A killed
    dispatcher leaves uncertain what it has leased, so it leases no more than it can send at once."""
    max_attempts: int = Field(default=10, ge=1)
    """A message that was rejected this often for a transient reason fails."""
    attempt_timeout_seconds: float = Field(default=10.0, gt=0, le=60)
    """Timeout of one call, and so of an attempt."""
    result_grace_seconds: float = Field(default=20.0, gt=0)
    """Time after the attempt's timeout to record the result; then the message becomes uncertain."""
