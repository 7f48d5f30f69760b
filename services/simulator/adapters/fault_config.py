"""Fault configuration in Postgres, shared by all replicas through one row. See `ports.FaultConfigs`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from services.kit.postgres.named_queries import load_queries
from services.simulator.domain.fault_config import FaultConfig

if TYPE_CHECKING:
    from services.kit.postgres.database import Database

SQL = load_queries(Path(__file__).with_name("queries.sql"))


class FaultConfigStore:
    """See `ports.FaultConfigs`.

    Calls are serialized: a value read before a change must not come into force after it.
    """

    def __init__(self, database: Database, initial: FaultConfig) -> None:
        """Set up the store.

        Args:
            database: the service's database.
            initial: configuration of the settings.
        """
        self._database = database
        self._initial = initial
        self._lock = asyncio.Lock()
        self.current = initial

    async def replace(self, fault_config: FaultConfig) -> None:
        """See `ports.FaultConfigs.replace`."""
        async with self._lock, self._database.transaction() as transaction:
            await transaction.execute(SQL["set_fault_config"], document=fault_config.model_dump_json())
            await transaction.commit()
            self.current = fault_config

    async def reset(self) -> None:
        """See `ports.FaultConfigs.reset`."""
        async with self._lock, self._database.transaction() as transaction:
            await transaction.execute(SQL["reset_fault_config"])
            await transaction.commit()
            self.current = self._initial

    async def refresh(self) -> None:
        """See `ports.FaultConfigs.refresh`."""
        async with self._lock, self._database.transaction() as transaction:
            row = await transaction.fetch_one(SQL["select_fault_config"])
            self.current = FaultConfig.model_validate_json(row.document) if row else self._initial
