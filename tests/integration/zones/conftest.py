"""Clusters of their own for these tests."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import platformdirs
import pytest

from infra.progress import RecordingProgress
from infra.zones.toolchain import Toolchain
from tests.servers.zones import ZonesUnderTest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOOLS = ("kubernetes", "etcd", "coredns", "local-path-provisioner")


@pytest.fixture(scope="module")
def caches() -> Path:
    """The user's cache folder, which the toolchain is in."""
    return platformdirs.user_cache_path()


@pytest.fixture(scope="module")
def tools(caches: Path) -> Toolchain:
    """The user's toolchain; what is missing of it is built."""
    tools = Toolchain(caches / "esq" / "toolchain", RecordingProgress())
    tools.ensure(TOOLS)
    return tools


@pytest.fixture(scope="module", autouse=True)
def _own_images(tools: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what these tests push to registries apart from what the user has."""
    assert tools
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def zones(tools: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZonesUnderTest]:
    """A cluster that is down; taken away at the end whatever happened."""
    zones = ZonesUnderTest(tmp_path_factory.mktemp("zones"), "itest", "10.97.", tools)
    try:
        yield zones
    finally:
        zones.cluster.down(RecordingProgress(), purge=True)
        steps = [f"{step.name}: {step.seconds:.1f} s" for step in zones.steps.steps if step.seconds]
        sys.stdout.write("\n".join(["", *steps, *zones.figures, ""]))


@pytest.fixture
def beside(zones: ZonesUnderTest) -> Iterator[ZonesUnderTest]:
    """Another cluster of the same user."""
    other = ZonesUnderTest(zones.folder, "beside", "10.95.", zones.tools)
    try:
        yield other
    finally:
        other.cluster.down(RecordingProgress(), purge=True)
