"""The edge traffic against the real contacts API on an in-memory store."""

from __future__ import annotations

import httpx
import pytest
from pydantic import SecretStr

from chaos.traffic.client import Endpoints
from chaos.traffic.edge import COMPANY, EdgeTraffic
from infra.certificate_authority import create_ca
from services.contacts.bootstrap import build_app
from services.contacts.fakes import FakeContactRepository
from services.contacts.settings import ApiSettings
from services.kit.observability.health import Health

KEY = "k" * 36
SETTINGS = ApiSettings(database_url=SecretStr("unused"), token_keys=(SecretStr(KEY),))


@pytest.fixture
def store() -> FakeContactRepository:
    return FakeContactRepository()


@pytest.fixture(scope="module")
def ca_certificate() -> str:
    return create_ca().certificate


def traffic(run_name: str, ca_certificate: str, store: FakeContactRepository) -> EdgeTraffic:
    endpoints = Endpoints(
        run_name=run_name,
        ca_certificate="",
        edge_url="https://edge.test",
        edge_ca_certificate=ca_certificate,
        token_key=KEY,
        postgres={},
        kafka={},
        redis={},
        object_store={},
    )
    client = EdgeTraffic(endpoints)
    headers = client._http.headers
    transport = httpx.ASGITransport(build_app(SETTINGS, Health(), store))
    client._http = httpx.AsyncClient(base_url="https://edge.test", transport=transport, headers=headers)
    return client


async def test_runs_share_contacts_and_delete_their_lists(
    store: FakeContactRepository, ca_certificate: str
) -> None:
    interrupted = traffic("chaos00000001", ca_certificate, store)
    await interrupted.open()
    client = traffic("chaos00000002", ca_certificate, store)
    await client.open()
    assert list(store.list_ids) == [(COMPANY, "chaos00000002")]
    for sequence in range(25):
        await client._write(sequence)
        await client._read(sequence)
    assert await client.stored_sequence() == {"edge.write": list(range(25))}
    assert (client._read_log.stale, len(store.contacts)) == (0, 25)
    await client.close()
    assert (store.list_ids, len(store.contacts)) == ({}, 25)


async def test_stored_write_that_disappears_is_missing_and_stale(
    store: FakeContactRepository, ca_certificate: str
) -> None:
    client = traffic("chaos00000001", ca_certificate, store)
    await client.open()
    await client._write(1)
    (members,) = store.members.values()
    members.pop()
    await client._read(0)
    assert client._read_log.stale == 1
    assert len((await client.stored_sequence())["edge.write"]) == 1
