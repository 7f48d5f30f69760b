"""Classification of database errors."""

from __future__ import annotations

import asyncpg
import pytest

from services.kit.postgres.database import is_transient


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (ConnectionRefusedError(), True),
        (TimeoutError(), True),
        (asyncpg.CannotConnectNowError("starting"), True),
        (asyncpg.ReadOnlySQLTransactionError("standby"), True),
        (asyncpg.DeadlockDetectedError("deadlock"), True),
        (asyncpg.InsufficientPrivilegeError("no"), False),
        (asyncpg.UniqueViolationError("twice"), False),
        (asyncpg.InvalidPasswordError("no"), False),
        (ValueError("a defect"), False),
    ],
)
def test_transient_errors_are_recognised(error: Exception, transient: bool) -> None:  # noqa: FBT001 - a table's column
    assert is_transient(error) is transient
