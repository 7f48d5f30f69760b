"""Accounts in the three deploys of a rotation, on servers and in services."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest
import yaml

from infra.components.postgres.pod_programs.strict_patroni import credentials_digest
from infra.config_files import postgres as postgres_config
from infra.credentials import Credentials, complete_credentials
from infra.names import DIGEST_ANNOTATION
from services.contracts.kafka_access import GENERATIONS
from tests.unit.stacks.pulumi_recorder import Recording, record

if TYPE_CHECKING:
    from infra.stack_settings import StackSettings

OLD = complete_credentials()
NEW = complete_credentials().model_copy(
    update={"generation": "b", "kafka": OLD.kafka.model_copy(update={"admin": "new-admin"})}
)
STEPS = {
    "only a": OLD,
    "uses a, accepts both": OLD.model_copy(update={"alternate": NEW}),
    "uses b, accepts both": NEW.model_copy(update={"alternate": OLD}),
    "only b": NEW,
}


@pytest.fixture(scope="module")
def data_layers(settings: StackSettings) -> dict[str, Recording]:
    """Return the data layer of each step."""
    return {
        step: record("data", settings.model_copy(update={"credentials": credentials}))
        for step, credentials in STEPS.items()
    }


def secret(layer: Recording, name: str) -> dict[str, str]:
    values: dict[str, str] = layer.named("Secret", name)["stringData"]["value"]
    return values


def test_generations_are_those_of_the_credentials() -> None:
    assert get_args(Credentials.model_fields["generation"].annotation) == GENERATIONS


@pytest.mark.parametrize("step", STEPS)
def test_brokers_accept_the_accounts_of_every_accepted_generation(
    data_layers: dict[str, Recording], step: str
) -> None:
    credentials = STEPS[step]
    values = secret(data_layers[step], "kafka")
    accepted = {accepted.generation for accepted in credentials.accepted}
    for name in ("broker", "esq", "campaigns", "whatsapp"):
        for generation in GENERATIONS:
            assert (f'user_{name}-{generation}="' in values["users.properties"]) == (generation in accepted)
    assert f'username="broker-{credentials.generation}"' in values["users.properties"]
    assert (values["admin-user"], values["admin"]) == (
        f"esq-{credentials.generation}",
        credentials.kafka.admin,
    )
    properties = data_layers[step].named("ConfigMap", "kafka")["data"]["server.properties"]
    super_users = {f"User:{name}-{generation}" for name in ("broker", "esq") for generation in accepted}
    (line,) = (line for line in properties.splitlines() if line.startswith("super.users="))
    assert set(line.removeprefix("super.users=").split(";")) == super_users


@pytest.mark.parametrize("step", STEPS)
def test_redis_accepts_the_passwords_of_every_accepted_generation(
    data_layers: dict[str, Recording], step: str
) -> None:
    credentials = STEPS[step]
    values = secret(data_layers[step], "redis")
    accepted = {
        hashlib.sha256(accepted.redis.services["whatsapp"].encode()).hexdigest()
        for accepted in credentials.accepted
    }
    for file in ("users.acl", "sentinel-users.acl"):
        (line,) = (line for line in values[file].splitlines() if line.startswith("user whatsapp "))
        assert {part[1:] for part in line.split() if part.startswith("#")} == accepted
    assert values["replication"] == credentials.redis.replication


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "name", ["kafka", "redis", "postgres", "object-store", "object-store-layout", "backup"]
)
def test_authorities_of_every_accepted_generation_are_trusted(
    data_layers: dict[str, Recording], step: str, name: str
) -> None:
    assert secret(data_layers[step], name)["ca.crt"] == STEPS[step].ca_bundle


@pytest.mark.parametrize("step", STEPS)
def test_postgres_accepts_the_logins_of_every_accepted_generation(
    data_layers: dict[str, Recording], step: str
) -> None:
    credentials, layer = STEPS[step], data_layers[step]
    accounts = secret(layer, "postgres")["accounts.sql"]
    accepted = {accepted.generation for accepted in credentials.accepted}
    for role in ("campaigns", "esq_verifier", "esq_probe", "esq_rewind"):
        for generation in GENERATIONS:
            login = f"('{role}_{generation}', 'LOGIN NOREPLICATION', '"
            assert (login in accounts) == (generation in accepted)
    authentication = yaml.safe_load(secret(layer, "postgres")["authentication.yml"])
    members = authentication["postgresql"]["authentication"]
    assert members["replication"]["username"] == f"replicator_{credentials.generation}"
    assert members["rewind"]["username"] == f"esq_rewind_{credentials.generation}"
    assert members["superuser"] == {"username": "postgres"}


@pytest.mark.parametrize("step", STEPS)
def test_garage_accepts_the_keys_of_every_accepted_generation(
    data_layers: dict[str, Recording], step: str
) -> None:
    credentials = STEPS[step]
    values = json.loads(secret(data_layers[step], "object-store-layout")["layout.json"])
    keys = [accepted.object_store for accepted in credentials.accepted]
    assert values["buckets"]["media"] == {key.media_key_id: key.media_key_secret for key in keys}
    assert values["buckets"]["backups"] == {key.backup_key_id: key.backup_key_secret for key in keys}
    assert values["admin_tokens"] == [key.admin_token for key in keys]


@pytest.mark.parametrize("name", ["kafka", "redis", "object-store"])
def test_every_step_restarts_the_pods(data_layers: dict[str, Recording], name: str) -> None:
    templates = [layer.pods()[f"StatefulSet {name}"] for layer in data_layers.values()]
    digests = [template["metadata"]["annotations"][DIGEST_ANNOTATION] for template in templates]
    assert len(set(digests)) == len(STEPS)


def test_no_step_restarts_postgres(data_layers: dict[str, Recording]) -> None:
    templates = [layer.pods()["StatefulSet postgres"] for layer in data_layers.values()]
    assert all(template == templates[0] for template in templates)


def test_secret_of_postgres_states_the_digest_that_its_members_publish(
    data_layers: dict[str, Recording], tmp_path: Path
) -> None:
    digests = []
    for layer in data_layers.values():
        values = secret(layer, "postgres")
        files = [tmp_path / Path(file).name for file in postgres_config.RELOADED_FILES]
        for file in files:
            file.write_text(values[file.name])
        annotations = layer.named("Secret", "postgres")["metadata"]["annotations"]
        assert annotations[DIGEST_ANNOTATION] == credentials_digest(files)
        digests.append(credentials_digest(files))
    assert len(set(digests)) == len(STEPS)


def test_services_use_the_account_of_the_used_generation(service_settings: StackSettings) -> None:
    credentials = STEPS["uses b, accepts both"]
    layer = record("services", service_settings.model_copy(update={"credentials": credentials}))
    for name, account in (("campaigns-worker", "campaigns-b"), ("whatsapp-worker", "whatsapp-b")):
        values = secret(layer, name)
        assert values["ESQ_KAFKA_USERNAME"] == account
        assert values["ESQ_KAFKA_PASSWORD"] == credentials.kafka.services[account.removesuffix("-b")]
    assert secret(layer, "whatsapp-worker")["ESQ_REDIS_PASSWORD"] == credentials.redis.services["whatsapp"]
    assert secret(layer, "topics")["ESQ_KAFKA_USERNAME"] == "esq-b"
