"""A disk whose power can be cut, and the stores that run on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.servers.powered_disk import PoweredDisk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.durable.store import DurableStore


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[PoweredDisk]:
    with PoweredDisk(tmp_path) as disk:
        yield disk


@pytest.fixture
def stores() -> Iterator[list[DurableStore]]:
    """Started stores; their processes end before the disk is unmounted."""
    started: list[DurableStore] = []
    yield started
    for store in started:
        store.server.kill()
