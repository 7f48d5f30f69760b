"""Settings of the simulator."""

from __future__ import annotations

from pydantic import AnyHttpUrl, Field, SecretStr, field_validator

from services.kit.settings import DatabaseSettings, ProcessSettings, SecretList, TokenSettings
from services.simulator.domain.fault_config import Delay, FaultConfig, Probability

TRANSIENT_ERROR_CODE = 131000
"""Error code of `error_rate`: the client may retry."""


class SimulatorSettings(ProcessSettings, DatabaseSettings, TokenSettings):
    """Settings of the process. A configuration set by `PUT /faults` takes precedence."""

    service: str = "simulator"
    webhook_url: AnyHttpUrl
    """Address that status webhooks are posted to."""
    app_secrets: SecretList[SecretStr]
    """Keys of the webhooks' signature: the first signs."""
    cloud_api_tokens: SecretList[SecretStr]
    """Accepted bearer tokens of the Cloud API."""
    webhook_timeout_seconds: float = Field(default=10.0, gt=0, le=12)
    """Timeout of a webhook; below the time that a transaction may be idle."""
    error_rate: Probability = 0
    """Share of send requests that are rejected with a transient error."""
    latency_ms: float | None = Field(default=None, ge=0)
    """Median response time in milliseconds."""
    fault_config: FaultConfig = FaultConfig()
    """Everything else, as JSON."""
    seed: int | None = None
    """Seed of the random draws; unset means not repeatable."""

    @field_validator("environment")
    @classmethod
    def _reject_prod(cls, value: str) -> str:
        if value == "prod":
            raise ValueError("the simulator never runs in prod")
        return value

    def initial_fault_config(self) -> FaultConfig:
        """Return the configuration in force until `PUT /faults` sets another."""
        changes: dict[str, object] = {}
        if self.error_rate:
            error_rates = {**self.fault_config.error_rates, TRANSIENT_ERROR_CODE: self.error_rate}
            changes["error_rates"] = error_rates
        if self.latency_ms is not None:
            changes["latency"] = Delay(median_ms=self.latency_ms, spread=self.fault_config.latency.spread)
        return self.fault_config.model_copy(update=changes)
