"""Accounts in the three deploys of a rotation, on servers and in services."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, get_args

import pytest

from infra.components.workload import DIGEST_ANNOTATION
from infra.credentials import Credentials, complete_credentials
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
    (member, _) = layer.pods()["StatefulSet postgres"]["spec"]["containers"]
    environment = {variable["name"]: variable.get("value") for variable in member["env"]}
    assert environment["PATRONI_REPLICATION_USERNAME"] == f"replicator_{credentials.generation}"
    assert environment["PATRONI_REWIND_USERNAME"] == f"esq_rewind_{credentials.generation}"
    assert "PATRONI_SUPERUSER_PASSWORD" not in environment


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


@pytest.mark.parametrize("name", ["kafka", "redis", "postgres", "object-store"])
def test_every_step_restarts_the_pods(data_layers: dict[str, Recording], name: str) -> None:
    templates = [layer.pods()[f"StatefulSet {name}"] for layer in data_layers.values()]
    digests = [template["metadata"]["annotations"][DIGEST_ANNOTATION] for template in templates]
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
