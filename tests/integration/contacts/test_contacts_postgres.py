"""Contacts in Postgres: the same as in memory, and two imports at once."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from services.contacts.adapters.memory import FakeContacts
from services.contacts.adapters.postgres import TURN_SECONDS, PostgresContacts
from services.contacts.commands import ImportContacts
from services.contacts.handlers import import_contacts, read_page
from services.kit.database import Database, create_engine
from services.kit.errors import NotFoundError, TemporaryError
from services.kit.settings import DatabaseSettings, ProcessSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.contacts.commands import Imported
    from services.contacts.ports import Contacts
    from tests.integration.conftest import TestDatabase

pytestmark = pytest.mark.integration

WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


@pytest.fixture
async def database(test_database: TestDatabase) -> AsyncIterator[Database]:
    settings = DatabaseSettings(database_url=SecretStr(test_database.url("contacts")))
    database = Database(create_engine(ProcessSettings(service="contacts"), settings))
    yield database
    await database.close()


@pytest.fixture
def stored(database: Database) -> PostgresContacts:
    return PostgresContacts(database)


def phone(number: int) -> str:
    return f"+55119{80_000_000 + number:08d}"


async def send(
    contacts: Contacts, rows: Iterable[str], name: str = "friends", company: str = "acme"
) -> Imported:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"name,phone\n"
        for row in rows:
            yield f"{row}\n".encode()

    return await import_contacts(ImportContacts(company, name, chunks()), contacts, "BR")


async def send_at_last(contacts: Contacts, rows: Sequence[str]) -> Imported:
    """Send, again as long as it is refused: on a slow machine others may take longer than a caller waits."""
    while True:
        with contextlib.suppress(TemporaryError):
            return await send(contacts, rows)


async def everyone(contacts: Contacts, name: str = "friends", company: str = "acme") -> dict[str, str]:
    found: dict[str, str] = {}
    after = None
    while True:
        _, page = await read_page(company, name, after, 700, contacts)
        found |= {one.phone: one.name for one in page}
        if not page:
            return found
        after = page[-1].id


async def test_a_list_that_many_wait_for_leaves_connections_to_others_and_refuses_who_comes_too_late(
    stored: PostgresContacts, test_database: TestDatabase
) -> None:
    await send(stored, [f"P,{phone(0)}"])
    settings = DatabaseSettings(database_url=SecretStr(test_database.url("contacts")))
    holding = create_engine(ProcessSettings(service="contacts"), settings)
    async with holding.begin() as holder:
        await holder.execute(text("SELECT 1 FROM lists WHERE name = 'friends' FOR NO KEY UPDATE"))
        first = asyncio.create_task(send(stored, [f"P,{phone(1)}"]))
        await eventually_waiting(holder)
        # A file of one part is stored whole or not at all.
        assert await holder.scalar(text("SELECT count(*) FROM imports")) == 1
        numbers = range(2, 2 + settings.database_pool + 3)
        others = [asyncio.create_task(send(stored, [f"P,{phone(number)}"])) for number in numbers]
        assert [each.name for each in await stored.lists("acme", "", 10)] == ["friends"]
        async with asyncio.timeout(TURN_SECONDS - 1):
            refused = await asyncio.gather(*others, return_exceptions=True)
    assert {type(each) for each in refused} == {TemporaryError}
    assert (await first).accepted == 1
    assert set(await everyone(stored)) == {phone(0), phone(1)}
    await holding.dispose()


async def eventually_waiting(holder: AsyncConnection) -> None:
    async with asyncio.timeout(10):
        while not await holder.scalar(text(WAITING)):
            await asyncio.sleep(0.02)


async def test_an_import_is_recorded_to_its_end(stored: PostgresContacts, database: Database) -> None:
    done = await send(stored, [*(f"P,{phone(number % 2500)}" for number in range(4500)), "Ninguém,12"])
    async with database.work() as work:
        row = await work.row(
            text("SELECT accepted, duplicates, rejected, ended_at IS NOT NULL AS ended FROM imports")
        )
    assert row is not None
    assert (
        tuple(row) == (done.accepted, done.duplicates, done.rejections.total, True) == (2500, 2000, 1, True)
    )


async def test_memory_and_postgres_agree(stored: PostgresContacts) -> None:
    files = [
        [f"P{number},{phone(number % 900)}" for number in range(2500)],
        [f",{phone(number)}" for number in range(850, 1000)],
        [f"Nova {number},{phone(number)}" for number in range(950, 1100)] + ["Ninguém,12"],
    ]
    fake = FakeContacts()
    for file in files:
        one, other = await send(stored, file), await send(fake, file)
        assert (one.accepted, one.duplicates, one.rejections) == (
            other.accepted,
            other.duplicates,
            other.rejections,
        )
    assert await everyone(stored) == await everyone(fake)
    found, _ = await read_page("acme", "friends", None, 1, stored)
    assert found.contacts == 1100
    assert [one.name for one in await stored.lists("acme", "", 10)] == ["friends"]


async def test_two_imports_of_the_same_people_at_once_count_each_once(stored: PostgresContacts) -> None:
    numbers = list(range(6000))
    files = []
    for seed in range(3):
        random.Random(seed).shuffle(numbers)
        files.append([f"P,{phone(number)}" for number in numbers])
    done = await asyncio.gather(*(send_at_last(stored, file) for file in files))
    assert sum(one.accepted for one in done) == 6000
    assert sum(one.duplicates for one in done) == 12000
    assert len(await everyone(stored)) == 6000


async def test_companies_share_nothing(stored: PostgresContacts) -> None:
    await send(stored, [f"Ana,{phone(1)}"])
    await send(stored, [f"Bia,{phone(1)}"], company="other")
    assert await everyone(stored) == {phone(1): "Ana"}
    assert await everyone(stored, company="other") == {phone(1): "Bia"}
    with pytest.raises(NotFoundError):
        await read_page("third", "friends", None, 1, stored)


async def test_a_contact_may_be_on_two_lists(stored: PostgresContacts) -> None:
    await send(stored, [f"Ana,{phone(1)}"])
    assert (await send(stored, [f"Ana,{phone(1)}"], name="family")).accepted == 1
    assert await everyone(stored, "family") == await everyone(stored)
