"""Real servers shared by the integration tests, started when the first test asks for one."""

from __future__ import annotations

import asyncio
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from infra.config_files.postgres_accounts import (
    NETWORK_ROLES,
    render_accounts_script,
    render_accounts_sql,
    render_database_sql,
)
from infra.names import login_role
from services.contracts.topics import TOPICS
from services.kit.jobs.migrate import MigrateSettings, migrate, migrated_services
from services.kit.jobs.topics import TopicsSettings, apply_before_deadline
from tests.servers.kafka import Kafka
from tests.servers.postgres import BINARIES, Postgres

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PASSWORD = "of-a-test"
GENERATION = "a"
TEMPLATE = "template_esq"
LOGINS = {login_role(name, GENERATION): PASSWORD for name in NETWORK_ROLES}
"""Accepted login roles of the session's server."""


def apply_accounts(server: Postgres, database: str, logins: Mapping[str, str] | None = None) -> None:
    """Apply the declared accounts and create the database, as a primary does.

    Args:
        server: where it is.
        database: its name.
        logins: password by accepted login role; `LOGINS` if None.
    """
    script = server.folder / "accounts.sh"
    files = {
        "accounts.sql": render_accounts_sql(logins or LOGINS),
        "database.sql": render_database_sql(database),
    }
    for name, text in files.items():
        (server.folder / name).write_text(text)
    script.write_text(render_accounts_script(*(str(server.folder / name) for name in files)))
    dsn = f"host=127.0.0.1 port={server.port} user=postgres dbname=postgres"
    environment = {"PATH": f"{BINARIES}:/usr/bin:/bin"}
    subprocess.run(["sh", str(script), dsn], env=environment, check=True, timeout=60)


def database_urls(server: Postgres, database: str) -> dict[str, str]:
    """Return the URL of each service.

    Args:
        server: where the database is.
        database: its name.
    """
    return {
        name: server.url(database, login_role(name, GENERATION), PASSWORD) for name in migrated_services()
    }


@dataclass(frozen=True)
class TestDatabase:
    """A database of one test, with every service's schema.

    Attributes:
        server: where it is.
        name: its name there.
    """

    __test__ = False
    server: Postgres
    name: str

    def url(self, service: str) -> str:
        """Return the address that a service uses."""
        return self.server.url(self.name, login_role(service, GENERATION), PASSWORD)

    def execute(self, statement: str) -> str:
        """Run a statement as the owner; return what psql printed."""
        return self.server.execute(statement, self.name)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A Postgres server of this session."""
    server = Postgres()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def migrated(postgres: Postgres) -> str:
    """The template: a database that the migration job has been through."""
    apply_accounts(postgres, TEMPLATE)
    asyncio.run(migrate(MigrateSettings(), database_urls(postgres, TEMPLATE)))
    return TEMPLATE


@pytest.fixture
def test_database(postgres: Postgres, migrated: str) -> Iterator[TestDatabase]:
    """A copy of the template for one test."""
    name = postgres.copy(migrated)
    yield TestDatabase(postgres, name)
    postgres.drop(name)


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """A Kafka broker of this session, with the topics of the contracts."""
    server = Kafka()
    try:
        server.start()
        apply_before_deadline(TopicsSettings(kafka_bootstrap=server.bootstrap, topic_replicas=1))
        yield server
    finally:
        server.stop()


@pytest.fixture
def clean_kafka(kafka: Kafka) -> Kafka:
    """The broker with empty topics: records and positions of tests before this one are gone."""
    kafka.clear([topic.name for topic in TOPICS])
    return kafka
