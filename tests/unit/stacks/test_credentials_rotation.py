"""Phases of a rotation: what clients use and what servers accept."""

from __future__ import annotations

import itertools
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from infra.credentials import Credentials, RotationPhase, complete_credentials
from infra.credentials_rotation import next_generation, next_phase
from infra.names import SERVICES
from services.kit.errors import UnauthorisedError
from services.kit.http.auth import JwtTokens
from tests.unit.stacks.pulumi_recorder import record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.stack_settings import StackSettings

STEPS = ("before", *RotationPhase, "after")


@pytest.fixture(scope="module")
def steps(credentials: Credentials) -> dict[str, Credentials]:
    """Stored credentials before, in each phase of, and after a rotation."""
    states = [credentials]
    while len(states) < len(STEPS):
        states.append(next_phase(states[-1]))
    return dict(zip(STEPS, states, strict=True))


def _secrets(values: dict[str, object]) -> Iterator[tuple[str, str]]:
    """Yield every text of dumped credentials with its field."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from ((f"{key}.{name}", text) for name, text in _secrets(value))
        elif isinstance(value, str):
            yield key, value


def test_a_new_generation_keeps_only_what_identifies_or_encrypts_stored_data(
    credentials: Credentials,
) -> None:
    new = next_generation(credentials)
    old_secrets = set(_secrets(credentials.model_dump()))
    unchanged = {name for name, value in _secrets(new.model_dump()) if (name, value) in old_secrets}
    assert {name for name in unchanged if not name.startswith("offsite_store.")} == {
        "kafka.cluster_id",
        "object_store.rpc_secret",
        "backup.cipher_pass",
        "backup.offsite_cipher_pass",
    }
    assert new.object_store.node_keys == credentials.object_store.node_keys
    assert new.offsite_store == credentials.offsite_store
    assert set(new.postgres.services) == set(SERVICES)


def test_phases_use_and_accept_generations_in_order(steps: dict[str, Credentials]) -> None:
    generations = {
        step: (credentials.generation, [accepted.generation for accepted in credentials.accepted])
        for step, credentials in steps.items()
    }
    assert generations == {
        "before": ("a", ["a"]),
        "accept": ("a", ["a", "b"]),
        "use": ("b", ["b", "a"]),
        "retire": ("b", ["b"]),
        "after": ("b", ["b"]),
    }
    assert steps["after"].rotation is None
    assert next_phase(steps["after"]).accepted[1].generation == "a"


def test_the_phase_survives_storing_and_completing(steps: dict[str, Credentials]) -> None:
    for credentials in steps.values():
        stored = Credentials.model_validate_json(credentials.model_dump_json())
        assert complete_credentials(stored) == credentials


def test_both_generations_are_completed(steps: dict[str, Credentials]) -> None:
    accept = steps["accept"]
    assert accept.alternate is not None
    incomplete = accept.alternate.model_copy(update={"certificates": {}})
    completed = complete_credentials(accept.model_copy(update={"alternate": incomplete}))
    assert completed.alternate is not None
    assert set(completed.alternate.certificates) == set(accept.certificates)


def _pairs_of_consecutive_steps(steps: dict[str, Credentials]) -> list[tuple[Credentials, Credentials]]:
    return [
        pair for neighbours in itertools.pairwise(steps.values()) for pair in (neighbours, neighbours[::-1])
    ]


def test_every_client_is_accepted_by_servers_of_the_neighbouring_phases(
    steps: dict[str, Credentials],
) -> None:
    for client, server in _pairs_of_consecutive_steps(steps):
        used = client.model_copy(update={"alternate": None}).postgres_logins
        assert used.items() <= server.postgres_logins.items()
        assert client.ca.certificate in server.ca_bundle


@pytest.mark.parametrize("certificate", ["contacts", "postgres"])
def test_certificates_are_trusted_in_the_neighbouring_phases(
    steps: dict[str, Credentials], certificate: str, tmp_path: Path
) -> None:
    """Both authorities have the same name: the TLS library must choose by the key."""
    for client, server in _pairs_of_consecutive_steps(steps):
        _handshake(server, client.ca_bundle, certificate, tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(steps["before"], steps["after"].ca_bundle, certificate, tmp_path)


def _handshake(server: Credentials, trusted: str, certificate: str, folder: Path) -> None:
    pair = server.certificates[certificate]
    chain = folder / "chain.pem"
    chain.write_text(pair.certificate + pair.key)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(chain)
    client_side = ssl.create_default_context(cadata=trusted)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_side.wrap_bio(incoming, outgoing, server_hostname="localhost")
    listener = server_side.wrap_bio(outgoing, incoming, server_side=True)
    for _ in range(3):
        for side in (client, listener):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    assert client.version()


def _variables(settings: StackSettings, credentials: Credentials, deployment: str) -> dict[str, str]:
    layer = record("services", settings.model_copy(update={"credentials": credentials}))
    return dict(layer.named("Secret", deployment)["stringData"]["value"])


def test_tokens_of_both_generations_are_accepted_and_of_a_retired_one_refused(
    steps: dict[str, Credentials], service_settings: StackSettings
) -> None:
    tokens = {
        step: JwtTokens(
            *_variables(service_settings, credentials, "contacts-api")["ESQ_TOKEN_KEYS"].split(",")
        )
        for step, credentials in steps.items()
    }
    for earlier, later in itertools.pairwise(STEPS):
        for issuer, verifier in ((earlier, later), (later, earlier)):
            token = tokens[issuer].issue("test", "acme", ())
            assert tokens[verifier].verify(token).company == "acme"
    with pytest.raises(UnauthorisedError):
        tokens["retire"].verify(tokens["accept"].issue("test", "acme", ()))
