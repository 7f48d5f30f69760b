"""A platform of its own for the end-to-end tests, so that no user's is ever touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.servers.platform import Platform

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform that nothing has been deployed to; taken away at the end whatever happened."""
    platform = Platform(state=tmp_path_factory.mktemp("state"), cluster="e2e", subnet="10.98.0.0/16")
    try:
        yield platform
    finally:
        platform.remove()
