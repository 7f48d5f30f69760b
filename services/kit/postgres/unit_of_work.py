"""Factory of units of work: what a service does to its database in one transaction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.kit.postgres.database import Database, Transaction

UnitOfWork = TypeVar("UnitOfWork")


class TransactionalFactory(ABC, Generic[UnitOfWork]):
    """Starts units of work; a service defines what one consists of.

    Args:
        database: the service's database.
        read_only: whether transactions are read-only; a standby serves them while the primary is unavailable.
    """

    def __init__(self, database: Database, *, read_only: bool = False) -> None:
        self._begin = database.read_only_transaction if read_only else database.transaction

    @abstractmethod
    def bind(self, transaction: Transaction) -> UnitOfWork:
        """Return the unit of work in a transaction."""

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        """Start a transaction; it is rolled back unless the unit of work commits."""
        async with self._begin() as transaction:
            yield self.bind(transaction)
