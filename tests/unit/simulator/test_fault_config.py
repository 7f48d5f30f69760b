"""Random draws of the fault configuration, and its validation."""

from __future__ import annotations

from random import Random
from statistics import median
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from services.simulator.domain.fault_config import Delay, FaultConfig
from services.simulator.settings import TRANSIENT_ERROR_CODE, SimulatorSettings


def settings(**more: Any) -> SimulatorSettings:
    values: dict[str, Any] = {
        "database_url": SecretStr("postgresql+asyncpg://x@localhost/x"),
        "token_keys": (SecretStr("x" * 32),),
        "webhook_url": "http://localhost/webhooks/cloud",
        "app_secrets": (SecretStr("x"),),
        "cloud_api_tokens": (SecretStr("x"),),
    }
    return SimulatorSettings(**values | more)


def test_half_of_the_delays_are_below_the_median() -> None:
    rng = Random(7)
    samples = [Delay(median_ms=200, spread=0.5).sample_seconds(rng) for _ in range(4000)]
    assert median(samples) == pytest.approx(0.2, rel=0.1)
    assert max(samples) > 0.4


def test_delay_is_constant_without_spread_and_zero_without_median() -> None:
    assert Delay(median_ms=200, spread=0).sample_seconds(Random(1)) == 0.2
    assert Delay().sample_seconds(Random(1)) == 0


def test_errors_are_drawn_at_their_rates() -> None:
    rng = Random(7)
    fault_config = FaultConfig(error_rates={130429: 0.2, 131000: 0.1})
    drawn = [fault_config.draw_error(rng) for _ in range(5000)]
    assert drawn.count(130429) / 5000 == pytest.approx(0.2, abs=0.02)
    assert drawn.count(131000) / 5000 == pytest.approx(0.1, abs=0.02)
    assert FaultConfig().draw_error(rng) is None


@pytest.mark.parametrize(
    "document",
    [
        {"read_rate": 1.1},
        {"error_rates": {1: 0.6, 2: 0.6}},
        {"statuses_per_webhook": 0},
        {"latencies": {}},
        {"latency": {"median_ms": -1}},
    ],
)
def test_invalid_fault_config_is_rejected(document: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FaultConfig.model_validate(document)


def test_simulator_refuses_to_run_in_prod() -> None:
    with pytest.raises(ValidationError, match="never runs in prod"):
        settings(environment="prod")


def test_short_settings_change_the_fault_config() -> None:
    fault_config = settings(error_rate=0.05, latency_ms=10).initial_fault_config()
    assert fault_config.error_rates == {TRANSIENT_ERROR_CODE: 0.05}
    assert fault_config.latency.median_ms == 10
    assert settings().initial_fault_config() == FaultConfig()
