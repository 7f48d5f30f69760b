"""An API server, and the engine with the provider as `esq` runs them."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

import pytest

from infra.progress import RecordedStep
from tests.servers.apiserver import ApiServer, running_api_server
from tests.servers.provider import ChildDeploy, new_engine, new_provider

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cli.provider_process import ProviderProcess
    from cli.pulumi_engine import PulumiEngine


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running_api_server(tmp_path_factory.mktemp("apiserver")) as server:
        yield server


@pytest.fixture(scope="session")
def provider(server: ApiServer) -> Iterator[ProviderProcess]:
    """The object that starts a provider process for each run of the engine (ADR 19)."""
    provider = new_provider(server.kubeconfig)
    yield provider
    provider.close()


@pytest.fixture
def engine(
    provider: ProviderProcess, server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PulumiEngine]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    # The engine changes both for its own process.
    monkeypatch.setenv("PATH", os.environ["PATH"])
    yield new_engine(tmp_path, server.kubeconfig, provider)
    # The SDK does not close the event loops of programs that failed; their warnings belong to this test.
    gc.collect()


@pytest.fixture
def child_deploy(server: ApiServer, tmp_path: Path) -> ChildDeploy:
    return ChildDeploy(tmp_path, server.kubeconfig)


@pytest.fixture
def step() -> RecordedStep:
    return RecordedStep("data")
