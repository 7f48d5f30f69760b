"""An API server of its own: these tests create the namespaces of a platform without a platform."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from kubernetes import client

from infra.kubernetes import api_client
from tests.servers.apiserver import ApiServer, create_namespace, running_api_server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running_api_server(tmp_path_factory.mktemp("apiserver")) as server:
        yield server


@pytest.fixture
def core(server: ApiServer) -> Iterator[client.CoreV1Api]:
    with closing(api_client(server.kubeconfig)) as api:
        yield client.CoreV1Api(api)


@pytest.fixture
def namespace(core: client.CoreV1Api) -> str:
    return create_namespace(core.api_client)
