"""Settings read from environment variables, and the Kafka configuration built from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from services.campaigns.settings import ApiSettings as CampaignsApiSettings
from services.contacts.settings import ApiSettings as ContactsApiSettings
from services.kit.http.retrying_route import MAX_RETRY_SECONDS
from services.kit.kafka.client import client_config
from services.kit.postgres.database import CLIENT_TIMEOUT_MARGIN_SECONDS
from services.kit.settings import (
    DatabaseSettings,
    KafkaSettings,
    ProcessSettings,
    SettingsError,
    TokenSettings,
    load,
    secret_values,
)
from services.whatsapp.settings import ApiSettings as WhatsappApiSettings

if TYPE_CHECKING:
    from pathlib import Path


class Settings(ProcessSettings, DatabaseSettings, KafkaSettings, TokenSettings):
    """All groups at once."""


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("ESQ_SERVICE", "whatsapp")
    monkeypatch.setenv("ESQ_DATABASE_URL", "postgresql+asyncpg://a:secret@db/esq")
    monkeypatch.setenv("ESQ_KAFKA_BOOTSTRAP", "kafka:9092")
    monkeypatch.setenv("ESQ_TOKEN_KEYS", "k" * 32)
    return monkeypatch


def test_settings_are_read_from_environment_variables(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ESQ_DATABASE_POOL_SIZE", "7")
    settings = load(Settings)
    assert (settings.service, settings.database_pool_size, settings.kafka_bootstrap) == (
        "whatsapp",
        7,
        "kafka:9092",
    )
    assert "secret" not in repr(settings)


def test_all_errors_are_reported_together_without_values(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("ESQ_DATABASE_URL")
    environment.setenv("ESQ_TOKEN_KEYS", "too-short-a-secret")
    environment.setenv("ESQ_PORT", "many")
    environment.setenv("ESQ_CA_FILE", "/nowhere/ca.crt")
    with pytest.raises(SettingsError) as caught:
        load(Settings)
    for name in ("ESQ_DATABASE_URL", "ESQ_TOKEN_KEYS", "ESQ_PORT", "ESQ_CA_FILE"):
        assert f"- {name}: " in str(caught.value)
    assert "too-short-a-secret" not in str(caught.value)


@pytest.mark.parametrize("separator", [",", " ", ", ", "\n"])
def test_a_list_of_secrets_starts_with_the_used_one(environment: pytest.MonkeyPatch, separator: str) -> None:
    environment.setenv("ESQ_TOKEN_KEYS", separator.join(["n" * 32, "o" * 32]))
    assert secret_values(load(Settings).token_keys) == ("n" * 32, "o" * 32)


@pytest.mark.parametrize("value", ["", ","])
def test_a_list_of_secrets_is_not_empty(environment: pytest.MonkeyPatch, value: str) -> None:
    environment.setenv("ESQ_TOKEN_KEYS", value)
    with pytest.raises(SettingsError, match=r"- ESQ_TOKEN_KEYS: "):
        load(Settings)


def test_kafka_login_and_tls_follow_settings(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = load(Settings)
    assert client_config(settings, settings)["security.protocol"] == "PLAINTEXT"
    ca_file = tmp_path / "ca.crt"
    ca_file.touch()
    environment.setenv("ESQ_CA_FILE", str(ca_file))
    environment.setenv("ESQ_KAFKA_USERNAME", "whatsapp")
    environment.setenv("ESQ_KAFKA_PASSWORD", "pw")
    settings = load(Settings)
    config = client_config(settings, settings)
    assert (config["security.protocol"], config["sasl.mechanism"]) == ("SASL_SSL", "SCRAM-SHA-512")
    assert config["ssl.ca.location"] == str(ca_file)


@pytest.mark.parametrize("settings", [CampaignsApiSettings, ContactsApiSettings, WhatsappApiSettings])
def test_request_on_a_hanging_connection_leaves_time_to_repeat_it(settings: type[DatabaseSettings]) -> None:
    timeout = settings.model_fields["database_statement_timeout_seconds"].default
    assert 2 * (timeout + CLIENT_TIMEOUT_MARGIN_SECONDS) <= MAX_RETRY_SECONDS
