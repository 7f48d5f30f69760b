"""An API server of its own: these tests freeze and kill it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.servers.apiserver import ApiServer, running_api_server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running_api_server(tmp_path_factory.mktemp("apiserver")) as server:
        yield server
