"""Settings and credentials: told wrong all at once, made once, renewed in time."""

from __future__ import annotations

import datetime as dt

import pytest

from infra import defaults
from infra.authority import CERTIFICATE_LIFE
from infra.config import Layer, StackSettings, parse
from infra.credentials import RENEW_BEFORE, Credentials, complete
from infra.errors import ProblemsError
from infra.names import CERTIFICATE_NAMES, SERVICES


def test_all_errors_are_told_at_once() -> None:
    values = {"environment": "Local", "layer": "data", "zones": ["one"], "images": {"kafka": "kafka:4"}}
    with pytest.raises(ProblemsError) as caught:
        parse(values)
    places = {problem.location for problem in caught.value.problems}
    assert places == {"environment", "zones", "images.kafka", "credentials"}
    assert all(problem.remedy for problem in caught.value.problems)


def test_missing_images_are_named() -> None:
    with pytest.raises(ProblemsError, match="cannot be used") as caught:
        parse({"environment": "local", "layer": "data"})
    assert "postgres, redis, kafka, garage" in caught.value.detail


def test_a_credential_never_shows_in_an_error() -> None:
    with pytest.raises(ProblemsError) as caught:
        parse({"environment": "local", "layer": "data", "credentials": {"redis": "hunter2"}})
    assert "hunter2" not in caught.value.detail


def test_the_cluster_layer_needs_neither_images_nor_credentials() -> None:
    settings = parse({"environment": "staging", "layer": "cluster"})
    assert settings.sizes == defaults.FULL
    with pytest.raises(TypeError, match="no credentials"):
        _ = settings.secrets


def test_settings_come_back_as_they_were(settings: StackSettings) -> None:
    assert StackSettings.model_validate_json(settings.model_dump_json()) == settings


def test_an_environment_without_a_row_is_sized_like_local() -> None:
    settings = parse({"environment": "ci-42", "layer": Layer.CLUSTER})
    assert settings.sizes == defaults.LOCAL


def test_credentials_stay_as_they_are(credentials: Credentials) -> None:
    kept = Credentials.model_validate_json(credentials.model_dump_json())
    assert complete(kept) == credentials


def test_two_environments_share_nothing() -> None:
    one, other = complete(), complete()
    assert one.postgres.superuser != other.postgres.superuser
    assert one.kafka.cluster_id != other.kafka.cluster_id
    assert one.authority != other.authority


def test_what_is_missing_is_added(credentials: Credentials) -> None:
    postgres = credentials.postgres.model_copy(update={"services": {"contacts": "kept"}})
    completed = complete(credentials.model_copy(update={"postgres": postgres, "certificates": {}}))
    assert completed.postgres.services["contacts"] == "kept"
    assert set(completed.postgres.services) == set(SERVICES)
    assert set(completed.certificates) == set(CERTIFICATE_NAMES)


def test_certificates_are_renewed_before_they_end(credentials: Credentials) -> None:
    now = dt.datetime.now(dt.UTC)
    early = now + CERTIFICATE_LIFE - RENEW_BEFORE - dt.timedelta(days=1)
    late = now + CERTIFICATE_LIFE - RENEW_BEFORE + dt.timedelta(days=1)
    assert complete(credentials, now=early) == credentials
    renewed = complete(credentials, now=late)
    assert renewed.authority == credentials.authority
    assert renewed.postgres == credentials.postgres
    assert renewed.expires_at > credentials.expires_at
    assert not set(renewed.certificates.values()) & set(credentials.certificates.values())


def test_a_certificate_with_other_names_is_issued_again(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CERTIFICATE_NAMES, "redis", ("redis.example",))
    renewed = complete(credentials)
    changed = [name for name, pair in renewed.certificates.items() if pair != credentials.certificates[name]]
    assert changed == ["redis"]


def test_certificates_hold_for_their_pods_and_chain_to_the_authority(credentials: Credentials) -> None:
    authority = credentials.authority.parsed
    for name in ("postgres", "redis", "kafka", "whatsapp"):
        credentials.certificates[name].parsed.verify_directly_issued_by(authority)
    assert "*.kafka.esq-data.svc.cluster.local" in CERTIFICATE_NAMES["kafka"]
    assert "whatsapp-api.esq-services.svc.cluster.local" in CERTIFICATE_NAMES["whatsapp"]


def test_object_nodes_are_known_by_the_public_half_of_their_key(credentials: Credentials) -> None:
    assert [len(key) for key in credentials.objects.node_keys] == [128, 128, 128]
    assert len(set(credentials.objects.node_ids)) == 3


def test_nothing_secret_is_printed(credentials: Credentials) -> None:
    shown = repr(credentials)
    assert credentials.kafka.admin not in shown
    assert credentials.postgres.services["contacts"] not in shown
    assert "PRIVATE" not in shown
