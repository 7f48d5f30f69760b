"""A separate platform for the end-to-end tests, which never touches that of the user."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.servers.platform import Platform

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """An empty platform, removed at the end in any case."""
    platform = Platform(state=tmp_path_factory.mktemp("state"), cluster="e2e", subnet="10.98.0.0/16")
    try:
        yield platform
    finally:
        platform.remove()
