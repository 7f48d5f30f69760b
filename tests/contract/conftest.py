"""Clients of an API server; each folder that uses them has a `server` of its own."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from kubernetes import client

from infra.kubernetes import api_client
from tests.servers.apiserver import create_namespace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.apiserver import ApiServer


@pytest.fixture
def api(server: ApiServer) -> Iterator[client.ApiClient]:
    with closing(api_client(server.kubeconfig)) as api:
        yield api


@pytest.fixture
def core(api: client.ApiClient) -> client.CoreV1Api:
    return client.CoreV1Api(api)


@pytest.fixture
def namespace(api: client.ApiClient) -> str:
    return create_namespace(api)
