"""Settings of the simulator."""

from __future__ import annotations

from pydantic import AnyHttpUrl, Field, SecretStr, field_validator

from services.kit.settings import DatabaseSettings, ProcessSettings, TokenSettings
from services.simulator.behaviour import Behaviour, Delay, Probability

TRANSIENT = 131000
"""The code that `error_rate` refuses with: the caller may try again."""


class SimulatorSettings(ProcessSettings, DatabaseSettings, TokenSettings):
    """What the simulator is given. Behaviour set by `PUT /faults` outweighs what stands here."""

    service: str = "simulator"
    callback_url: AnyHttpUrl
    """Where status callbacks are posted to."""
    app_secret: SecretStr
    """Key that callbacks are signed with."""
    cloud_api_token: SecretStr
    """Bearer token that the Cloud API face asks for."""
    callback_seconds: float = Field(default=10.0, gt=0, le=12)
    """For a callback to be answered; below the time that a transaction may rest."""
    error_rate: Probability = 0
    """Share of sends that are refused with a transient error."""
    latency_ms: float | None = Field(default=None, ge=0)
    """Median milliseconds of an answer."""
    behaviour: Behaviour = Behaviour()
    """All the rest, as JSON."""
    seed: int | None = None
    """Makes the draws repeatable; unset means they are not."""

    @field_validator("environment")
    @classmethod
    def _never_in_prod(cls, value: str) -> str:
        if value == "prod":
            raise ValueError("the simulator never runs in prod")
        return value

    def initial_behaviour(self) -> Behaviour:
        """Return how the simulator behaves until it is told otherwise."""
        changes: dict[str, object] = {}
        if self.error_rate:
            changes["error_rates"] = {**self.behaviour.error_rates, TRANSIENT: self.error_rate}
        if self.latency_ms is not None:
            changes["latency"] = Delay(median_ms=self.latency_ms, spread=self.behaviour.latency.spread)
        return self.behaviour.model_copy(update=changes)
