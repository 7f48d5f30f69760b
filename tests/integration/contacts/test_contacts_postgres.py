"""Contacts in Postgres: equal to the fake, and concurrent imports."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from typing import TYPE_CHECKING

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from services.contacts.adapters import postgres
from services.contacts.adapters.postgres import (
    CONCURRENT_BATCHES_PER_LIST,
    LIST_TIMEOUT_SECONDS,
    PostgresContactRepository,
)
from services.contacts.bootstrap import build_app
from services.contacts.commands import ImportContacts
from services.contacts.fakes import FakeContactRepository
from services.contacts.handlers import delete_list, import_contacts, list_contacts
from services.contacts.settings import ApiSettings
from services.kit.errors import NotFoundError, TemporaryError
from services.kit.http.auth import JwtTokens
from services.kit.observability.health import Health
from services.kit.postgres.database import Database, create_engine
from services.kit.settings import DatabaseSettings, ProcessSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.contacts.commands import ImportResult
    from services.contacts.ports import ContactRepository
    from tests.integration.conftest import TestDatabase

pytestmark = pytest.mark.integration

WAITING_LOCKS = "SELECT count(*) FROM pg_locks WHERE NOT granted"


@pytest.fixture
async def database(test_database: TestDatabase) -> AsyncIterator[Database]:
    settings = DatabaseSettings(database_url=SecretStr(test_database.url("contacts")))
    database = Database(create_engine(ProcessSettings(service="contacts"), settings))
    yield database
    await database.close()


@pytest.fixture
def repository(database: Database) -> PostgresContactRepository:
    return PostgresContactRepository(database)


def phone(number: int) -> str:
    return f"+55119{80_000_000 + number:08d}"


async def import_rows(
    contacts: ContactRepository, rows: Iterable[str], name: str = "friends", company: str = "acme"
) -> ImportResult:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"name,phone\n"
        for row in rows:
            yield f"{row}\n".encode()

    return await import_contacts(ImportContacts(company, name, chunks()), contacts, "BR")


async def import_with_retries(contacts: ContactRepository, rows: Sequence[str]) -> ImportResult:
    """Import, and repeat while it is refused: on a slow machine others may hold the lock past the timeout."""
    while True:
        with contextlib.suppress(TemporaryError):
            return await import_rows(contacts, rows)


async def names_by_phone(
    contacts: ContactRepository, name: str = "friends", company: str = "acme"
) -> dict[str, str]:
    names: dict[str, str] = {}
    after = None
    while True:
        _, page = await list_contacts(company, name, after, 700, contacts)
        names |= {contact.phone: contact.name for contact in page}
        if not page:
            return names
        after = page[-1].id


async def test_locked_list_leaves_connections_to_others_and_refuses_imports_after_the_timeout(
    repository: PostgresContactRepository, test_database: TestDatabase
) -> None:
    await import_rows(repository, [f"P,{phone(0)}"])
    settings = DatabaseSettings(database_url=SecretStr(test_database.url("contacts")))
    locking_engine = create_engine(ProcessSettings(service="contacts"), settings)
    async with locking_engine.begin() as pg_connection:
        await pg_connection.execute(text("SELECT 1 FROM lists WHERE name = 'friends' FOR NO KEY UPDATE"))
        admitted = range(1, 1 + CONCURRENT_BATCHES_PER_LIST)
        first = [asyncio.create_task(import_rows(repository, [f"P,{phone(number)}"])) for number in admitted]
        # Each has stored its contact and waits for the row of the list.
        await wait_for_waiting_locks(pg_connection, CONCURRENT_BATCHES_PER_LIST)
        # A file of one batch is stored completely or not at all.
        assert await pg_connection.scalar(text("SELECT count(*) FROM imports")) == 1
        numbers = range(admitted.stop, admitted.stop + settings.database_pool_size + 3)
        others = [asyncio.create_task(import_rows(repository, [f"P,{phone(number)}"])) for number in numbers]
        assert [row.name for row in await repository.lists_page("acme", "", 10)] == ["friends"]
        async with asyncio.timeout(LIST_TIMEOUT_SECONDS - 1):
            refused = await asyncio.gather(*others, return_exceptions=True)
    assert {type(error) for error in refused} == {TemporaryError}
    assert [result.accepted for result in await asyncio.gather(*first)] == [1] * CONCURRENT_BATCHES_PER_LIST
    assert set(await names_by_phone(repository)) == {phone(0), *map(phone, admitted)}
    await locking_engine.dispose()


async def wait_for_waiting_locks(pg_connection: AsyncConnection, count: int) -> None:
    async with asyncio.timeout(10):
        while await pg_connection.scalar(text(WAITING_LOCKS)) != count:
            await asyncio.sleep(0.02)


async def test_import_record_is_completed(repository: PostgresContactRepository, database: Database) -> None:
    rows = [*(f"P,{phone(number % 2500)}" for number in range(4500)), "Ninguém,12"]
    result = await import_rows(repository, rows)
    async with database.transaction() as transaction:
        record = await transaction.fetch_one(
            text("SELECT accepted, duplicates, rejected, ended_at IS NOT NULL AS ended FROM imports")
        )
    assert record is not None
    expected = (result.accepted, result.duplicates, result.rejections.total, True)
    assert tuple(record) == expected == (2500, 2000, 1, True)


async def test_fake_and_postgres_are_equal(repository: PostgresContactRepository) -> None:
    files = [
        [f"P{number},{phone(number % 900)}" for number in range(2500)],
        [f",{phone(number)}" for number in range(850, 1000)],
        [f"Nova {number},{phone(number)}" for number in range(950, 1100)] + ["Ninguém,12"],
    ]
    fake = FakeContactRepository()
    for file in files:
        actual, expected = await import_rows(repository, file), await import_rows(fake, file)
        assert (actual.accepted, actual.duplicates, actual.rejections) == (
            expected.accepted,
            expected.duplicates,
            expected.rejections,
        )
    assert await names_by_phone(repository) == await names_by_phone(fake)
    contact_list, _ = await list_contacts("acme", "friends", None, 1, repository)
    assert contact_list.member_count == 1100
    assert [row.name for row in await repository.lists_page("acme", "", 10)] == ["friends"]


async def test_concurrent_imports_of_the_same_contacts_count_each_once(
    repository: PostgresContactRepository,
) -> None:
    numbers = list(range(6000))
    files = []
    for seed in range(3):
        random.Random(seed).shuffle(numbers)
        files.append([f"P,{phone(number)}" for number in numbers])
    results = await asyncio.gather(*(import_with_retries(repository, file) for file in files))
    assert sum(result.accepted for result in results) == 6000
    assert sum(result.duplicates for result in results) == 12000
    assert len(await names_by_phone(repository)) == 6000


async def test_companies_are_isolated(repository: PostgresContactRepository) -> None:
    await import_rows(repository, [f"Ana,{phone(1)}"])
    await import_rows(repository, [f"Bia,{phone(1)}"], company="other")
    assert await names_by_phone(repository) == {phone(1): "Ana"}
    assert await names_by_phone(repository, company="other") == {phone(1): "Bia"}
    with pytest.raises(NotFoundError):
        await list_contacts("third", "friends", None, 1, repository)


async def test_contact_can_be_on_two_lists(repository: PostgresContactRepository) -> None:
    await import_rows(repository, [f"Ana,{phone(1)}"])
    assert (await import_rows(repository, [f"Ana,{phone(1)}"], name="family")).accepted == 1
    assert await names_by_phone(repository, "family") == await names_by_phone(repository)


async def test_list_is_deleted_in_batches_that_keep_its_count(
    repository: PostgresContactRepository, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "MEMBERS_PER_DELETE", 2)
    await import_rows(repository, [f"P,{phone(number)}" for number in range(3)])
    await import_rows(repository, [f"P,{phone(number)}" for number in range(3)], name="others")
    assert not await repository.delete_list_batch("acme", "friends")
    remaining = await repository.find_list("acme", "friends")
    assert remaining is not None
    assert remaining.member_count == 1
    await delete_list("acme", "friends", repository)
    assert await repository.find_list("acme", "friends") is None
    assert len(await names_by_phone(repository, "others")) == 3
    async with database.read_only_transaction() as transaction:
        counts = await transaction.fetch_one(
            text("SELECT (SELECT count(*) FROM list_members), (SELECT count(*) FROM imports)")
        )
    assert counts is not None
    assert tuple(counts) == (3, 1)
    with pytest.raises(NotFoundError):
        await delete_list("acme", "friends", repository)


async def test_import_during_the_deletion_of_its_list_creates_the_list_again(
    repository: PostgresContactRepository,
) -> None:
    await import_rows(repository, [f"P,{phone(number)}" for number in range(100)])
    rows = [f"P,{phone(number)}" for number in range(100, 200)]
    await asyncio.gather(delete_list("acme", "friends", repository), import_with_retries(repository, rows))
    contact_list = await repository.find_list("acme", "friends")
    count = len(await names_by_phone(repository)) if contact_list else 0
    assert count in {0, 100}
    assert contact_list is None or contact_list.member_count == count


@contextlib.contextmanager
def frozen_sessions(test_database: TestDatabase) -> Iterator[None]:
    """Stop the server's processes of all open connections: their clients get no answer, new clients do."""
    query = (
        f"SELECT pid FROM pg_stat_activity WHERE datname = '{test_database.name}' AND pid <> pg_backend_pid()"
    )
    pids = [int(pid) for pid in test_database.execute(query).split()]
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def test_connection_that_hangs_fails_no_import(test_database: TestDatabase) -> None:
    key = "k" * 32
    settings = ApiSettings(
        database_url=SecretStr(test_database.url("contacts")), token_keys=(SecretStr(key),)
    )
    database = Database(create_engine(settings, settings))
    app = build_app(settings, Health(), PostgresContactRepository(database))
    token = JwtTokens(key).issue("tester", "acme", ["contacts:write"])
    headers = {"Authorization": f"Bearer {token}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://contacts", headers=headers) as client:

        async def import_number(number: int) -> int:
            body = f"name,phone\nP,{phone(number)}\n"
            response = await client.post("/contacts/imports", params={"list": "friends"}, content=body)
            return response.status_code

        assert await import_number(0) == 201
        with frozen_sessions(test_database):
            # The first ones hang; the others wait until they are done.
            assert await asyncio.gather(*map(import_number, range(1, 7))) == [201] * 6
    assert len(await names_by_phone(PostgresContactRepository(database))) == 7
    await database.close()
