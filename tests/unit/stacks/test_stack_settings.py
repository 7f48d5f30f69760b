"""Stack settings and credentials."""

from __future__ import annotations

import datetime as dt

import pytest

from infra import sizes
from infra.certificate_authority import CERTIFICATE_LIFETIME
from infra.credentials import RENEW_BEFORE, Credentials, complete_credentials
from infra.environment_definition import LOCAL_DEFINITION
from infra.errors import ProblemsError
from infra.names import CERTIFICATE_NAMES, SERVICES
from infra.stack_settings import StackSettings, parse_settings


def test_all_errors_are_reported_at_once() -> None:
    values = {
        **LOCAL_DEFINITION.platform_settings,
        "environment": "Local",
        "layer": "data",
        "zones": ["zone-a"],
        "images": {"kafka": "kafka:4"},
    }
    with pytest.raises(ProblemsError) as caught:
        parse_settings(values)
    locations = {problem.location for problem in caught.value.problems}
    fields = ("environment", "zones", "images.kafka", "credentials")
    assert locations == {f"settings: {field}" for field in fields}
    assert all(problem.remedy for problem in caught.value.problems)


def test_missing_images_are_listed() -> None:
    with pytest.raises(ProblemsError, match="are invalid") as caught:
        parse_settings({**LOCAL_DEFINITION.platform_settings, "environment": "local", "layer": "data"})
    assert "postgres, redis, kafka, garage" in caught.value.detail


def test_errors_do_not_contain_credentials() -> None:
    with pytest.raises(ProblemsError) as caught:
        parse_settings({"environment": "local", "layer": "data", "credentials": {"redis": "hunter2"}})
    assert "hunter2" not in caught.value.detail


def test_cluster_layer_requires_no_images_or_credentials() -> None:
    values = {"environment": "staging", "layer": "cluster", "zones": ["a", "b", "c"], "storage_class": "gp3"}
    settings = parse_settings(values)
    assert settings.sizes == sizes.PRODUCTION_SIZES
    with pytest.raises(TypeError, match="no credentials"):
        _ = settings.required_credentials


def test_settings_survive_json_round_trip(settings: StackSettings) -> None:
    assert StackSettings.model_validate_json(settings.model_dump_json()) == settings


def test_complete_credentials_stay_unchanged(credentials: Credentials) -> None:
    stored = Credentials.model_validate_json(credentials.model_dump_json())
    assert complete_credentials(stored) == credentials


def test_new_environments_get_different_credentials() -> None:
    first, second = complete_credentials(), complete_credentials()
    assert first.postgres.replication != second.postgres.replication
    assert first.kafka.cluster_id != second.kafka.cluster_id
    assert first.ca != second.ca


def test_missing_credentials_are_added(credentials: Credentials) -> None:
    postgres = credentials.postgres.model_copy(update={"services": {"contacts": "existing"}})
    completed = complete_credentials(
        credentials.model_copy(update={"postgres": postgres, "certificates": {}})
    )
    assert completed.postgres.services["contacts"] == "existing"
    assert set(completed.postgres.services) == set(SERVICES)
    assert set(completed.certificates) == set(CERTIFICATE_NAMES)


def test_certificates_are_renewed_before_expiry(credentials: Credentials) -> None:
    now = dt.datetime.now(dt.UTC)
    early = now + CERTIFICATE_LIFETIME - RENEW_BEFORE - dt.timedelta(days=1)
    late = now + CERTIFICATE_LIFETIME - RENEW_BEFORE + dt.timedelta(days=1)
    assert complete_credentials(credentials, now=early) == credentials
    renewed = complete_credentials(credentials, now=late)
    assert renewed.ca == credentials.ca
    assert renewed.postgres == credentials.postgres
    assert renewed.expires_at > credentials.expires_at
    assert not set(renewed.certificates.values()) & set(credentials.certificates.values())


def test_certificate_with_changed_names_is_reissued(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CERTIFICATE_NAMES, "redis", ("redis.example",))
    renewed = complete_credentials(credentials)
    changed = [name for name, pair in renewed.certificates.items() if pair != credentials.certificates[name]]
    assert changed == ["redis"]


def test_certificates_contain_pod_names_and_chain_to_the_ca(credentials: Credentials) -> None:
    ca = credentials.ca.parsed
    for name in ("postgres", "redis", "kafka", "whatsapp"):
        credentials.certificates[name].parsed.verify_directly_issued_by(ca)
    assert "*.kafka.esq-data.svc.cluster.local" in CERTIFICATE_NAMES["kafka"]
    assert "whatsapp-api.esq-services.svc.cluster.local" in CERTIFICATE_NAMES["whatsapp"]


def test_node_ids_are_the_public_half_of_the_node_keys(credentials: Credentials) -> None:
    assert [len(key) for key in credentials.object_store.node_keys] == [128, 128, 128]
    assert len(set(credentials.object_store.node_ids)) == 3


def test_repr_contains_no_secrets(credentials: Credentials) -> None:
    text = repr(credentials)
    assert credentials.kafka.admin not in text
    assert credentials.postgres.services["contacts"] not in text
    assert "PRIVATE" not in text
