"""The provider against a real API server: by its own contract, and through the real engine."""

from __future__ import annotations

import asyncio
import os
import uuid
from typing import TYPE_CHECKING

import platformdirs
import pytest

from infra.progress import RecordingProgress
from infra.provider import plugin_folder
from infra.provider.api import Api
from infra.provider.kubeconfig import load
from infra.zones.toolchain import Toolchain
from tests.controllers.apiserver import ApiServer
from tests.controllers.process import await_true
from tests.controllers.provider import Driver, Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    server = ApiServer(tmp_path_factory.mktemp("apiserver"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def api(server: ApiServer) -> Iterator[Api]:
    api = Api(load(str(server.kubeconfig)))
    yield api
    api.close()


@pytest.fixture
def namespace(api: Api) -> str:
    name = f"t-{uuid.uuid4().hex[:8]}"
    kind = api.kind("v1", "Namespace")
    api.create(kind, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, "test")
    return name


@pytest.fixture
def driver(server: ApiServer) -> Iterator[Callable[..., Driver]]:
    """Makes providers, configured by keyword."""
    made: list[Driver] = []

    def make(**settings: str) -> Driver:
        made.append(Driver({"kubeconfig": str(server.kubeconfig), **settings}))
        return made[-1]

    yield make
    for each in made:
        each.servicer.close()


@pytest.fixture
def stack(server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """A stack of the real engine with the plugin on its PATH."""
    tools = Toolchain(platformdirs.user_cache_path("esq") / "toolchain", RecordingProgress())
    folders = [str(plugin_folder(tmp_path / "plugin")), str(tools.path("pulumi").parent), os.environ["PATH"]]
    (tmp_path / "backend").mkdir()
    variables = {
        "PATH": os.pathsep.join(folders),
        "KUBECONFIG": str(server.kubeconfig),
        "PULUMI_BACKEND_URL": (tmp_path / "backend").as_uri(),
        "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_CONFIG_PASSPHRASE": "test",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    # The SDK makes loops, here and in threads of its own, and does not close those of programs that failed.
    loops: list[asyncio.AbstractEventLoop] = []
    new_event_loop = asyncio.new_event_loop

    def remembered() -> asyncio.AbstractEventLoop:
        loops.append(new_event_loop())
        return loops[-1]

    monkeypatch.setattr(asyncio, "new_event_loop", remembered)
    asyncio.set_event_loop(asyncio.new_event_loop())
    yield Stack()
    asyncio.set_event_loop(None)
    for loop in loops:
        if loop.is_running():
            # The engine is gone; its program's thread has yet to notice.
            loop.call_soon_threadsafe(loop.stop)
    await_true("the programs' ends", lambda: not any(loop.is_running() for loop in loops), 10)
    for loop in loops:
        loop.close()
