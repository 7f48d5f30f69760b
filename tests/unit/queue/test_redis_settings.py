"""Settings of the Redis client."""

from __future__ import annotations

import pytest

from services.kit.settings import RedisSettings, SettingsError, load


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "must be set"),
        ({"ESQ_REDIS_SENTINELS": "a:1", "ESQ_REDIS_SERVER": "b:2"}, "not both"),
        ({"ESQ_REDIS_SENTINELS": "a:1,b"}, "not host:port: 'b'"),
        ({"ESQ_REDIS_SERVER": ":6379"}, "not host:port"),
    ],
)
def test_invalid_redis_addresses_are_rejected(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=message):
        load(RedisSettings)
