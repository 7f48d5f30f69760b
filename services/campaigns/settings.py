"""Settings of the campaigns service."""

from __future__ import annotations

from pydantic import Field

from services.kit.settings import DatabaseSettings, KafkaSettings, ProcessSettings, TokenSettings


class ApiSettings(ProcessSettings, DatabaseSettings, TokenSettings):
    """What the campaigns API is given."""

    service: str = "campaigns"


class AskingSettings(ApiSettings):
    """What every process is given that asks the contacts service."""

    contacts_url: str = Field(pattern=r"^https?://[^/\s]+$")
    """Where the contacts service answers, without a path."""


class WorkerSettings(ProcessSettings, DatabaseSettings, KafkaSettings):
    """What the campaigns worker is given."""

    service: str = "campaigns"


class PlannerSettings(AskingSettings, KafkaSettings):
    """What the planner is given."""

    database_pool: int = Field(default=4, ge=1, le=50)
    """Connections to keep: one a task, and one for the health check."""
    plan_chunk: int = Field(default=100, ge=1, le=500)
    """Recipients planned in one transaction. Campaigns take turns by the chunk: small ones keep them even."""
    plan_lease_seconds: float = Field(default=15.0, gt=0)
    """A planner not heard of for so long is replaced by another."""
