"""The database of the campaigns service, whose schema contains the kit's tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from services.kit.postgres.database import Database, create_engine
from services.kit.settings import DatabaseSettings
from tests.servers.consumer_harness import PROCESS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.integration.conftest import TestDatabase


@pytest.fixture
async def database(test_database: TestDatabase) -> AsyncIterator[Database]:
    settings = DatabaseSettings(database_url=SecretStr(test_database.url("campaigns")))
    database = Database(create_engine(PROCESS, settings))
    yield database
    await database.close()
