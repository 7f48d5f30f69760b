"""What the simulator draws, and that its settings cannot ask for the impossible."""

from __future__ import annotations

from random import Random
from statistics import median
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from services.simulator.behaviour import Behaviour, Delay
from services.simulator.settings import TRANSIENT, SimulatorSettings


def settings(**more: Any) -> SimulatorSettings:
    values: dict[str, Any] = {
        "database_url": SecretStr("postgresql+asyncpg://x@localhost/x"),
        "token_key": SecretStr("x" * 32),
        "callback_url": "http://localhost/webhooks/cloud",
        "app_secret": SecretStr("x"),
        "cloud_api_token": SecretStr("x"),
    }
    return SimulatorSettings(**values | more)


def test_half_of_the_delays_are_under_the_median() -> None:
    rng = Random(7)
    samples = [Delay(median_ms=200, spread=0.5).seconds(rng) for _ in range(4000)]
    assert median(samples) == pytest.approx(0.2, rel=0.1)
    assert max(samples) > 0.4


def test_without_spread_a_delay_is_constant_and_without_median_there_is_none() -> None:
    assert Delay(median_ms=200, spread=0).seconds(Random(1)) == 0.2
    assert Delay().seconds(Random(1)) == 0


def test_sends_are_refused_as_often_as_the_rates_say() -> None:
    rng = Random(7)
    behaviour = Behaviour(error_rates={130429: 0.2, 131000: 0.1})
    drawn = [behaviour.refusal(rng) for _ in range(5000)]
    assert drawn.count(130429) / 5000 == pytest.approx(0.2, abs=0.02)
    assert drawn.count(131000) / 5000 == pytest.approx(0.1, abs=0.02)
    assert Behaviour().refusal(rng) is None


@pytest.mark.parametrize(
    "document",
    [
        {"read_rate": 1.1},
        {"error_rates": {1: 0.6, 2: 0.6}},
        {"batch": 0},
        {"latencies": {}},
        {"latency": {"median_ms": -1}},
    ],
)
def test_an_impossible_behaviour_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Behaviour.model_validate(document)


def test_the_simulator_never_runs_in_prod() -> None:
    with pytest.raises(ValidationError, match="never runs in prod"):
        settings(environment="prod")


def test_the_two_short_settings_change_the_behaviour() -> None:
    behaviour = settings(error_rate=0.05, latency_ms=10).initial_behaviour()
    assert behaviour.error_rates == {TRANSIENT: 0.05}
    assert behaviour.latency.median_ms == 10
    assert settings().initial_behaviour() == Behaviour()
