"""Settings of the campaigns service."""

from __future__ import annotations

from pydantic import Field

from services.kit.settings import (
    DatabaseSettings,
    KafkaSettings,
    ProcessSettings,
    RequestDatabaseSettings,
    TokenSettings,
)


class ApiSettings(ProcessSettings, RequestDatabaseSettings, TokenSettings):
    """Settings of the API process."""

    service: str = "campaigns"


class ContactsClientSettings(ProcessSettings, DatabaseSettings, TokenSettings):
    """Settings of processes that call the contacts service."""

    service: str = "campaigns"
    contacts_url: str = Field(pattern=r"^https?://[^/\s]+$")
    """URL of the contacts service, without a path."""


class WorkerSettings(ProcessSettings, DatabaseSettings, KafkaSettings):
    """Settings of the worker process."""

    service: str = "campaigns"


class PlannerSettings(ContactsClientSettings, KafkaSettings):
    """Settings of the planner process."""

    database_pool_size: int = Field(default=4, ge=1, le=50)
    """Database connections: one per background task and one for the health check."""
    plan_chunk: int = Field(default=100, ge=1, le=500)
    """Recipients planned per transaction. Campaigns alternate by chunk: small chunks keep them even."""
    plan_lease_seconds: float = Field(default=15.0, gt=0)
    """Lifetime of a plan's lease: time until another planner replaces a crashed one."""
