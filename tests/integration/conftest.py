"""Real servers shared by the integration tests, started when the first test asks for one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from services.contracts.topics import TOPICS
from services.kit.jobs.migrate import MigrateSettings, migrate, migrated_services
from services.kit.jobs.topics import TopicsSettings, apply_before_deadline
from tests.servers.kafka import Kafka
from tests.servers.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "of-a-test"


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
        return self.server.url(self.name, service, PASSWORD)

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
    postgres.execute("CREATE DATABASE template_esq")
    settings = MigrateSettings(admin_database_url=SecretStr(postgres.url("template_esq")))
    asyncio.run(migrate(settings, dict.fromkeys(migrated_services(), PASSWORD)))
    return "template_esq"


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
