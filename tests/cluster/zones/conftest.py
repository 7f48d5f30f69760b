"""Clusters for the tests of zones."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import platformdirs
import pytest

from infra.progress import RecordingProgress
from tests.servers.zones import ZonesUnderTest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.zones.toolchain import Toolchain


@pytest.fixture(scope="module")
def caches() -> Path:
    """The user's cache folder."""
    return platformdirs.user_cache_path()


@pytest.fixture(scope="module", autouse=True)
def _own_images(caches: Path, tools: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Separate the images that these tests push from those of the user."""
    assert caches  # found before the variable changes
    assert tools
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def zones(tools: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZonesUnderTest]:
    """A stopped cluster, removed at the end in any case."""
    zones = ZonesUnderTest(tmp_path_factory.mktemp("zones größe und ort"), "itest", "10.97.", tools)
    try:
        yield zones
    finally:
        zones.cluster.down(RecordingProgress(), purge=True)
        steps = [f"{step.name}: {step.seconds:.1f} s" for step in zones.steps.steps if step.seconds]
        sys.stdout.write("\n".join(["", *steps, *zones.figures, ""]))


@pytest.fixture
def second_cluster(zones: ZonesUnderTest) -> Iterator[ZonesUnderTest]:
    """A second cluster of the same user."""
    other = ZonesUnderTest(zones.folder, "second", "10.95.", zones.tools)
    try:
        yield other
    finally:
        other.cluster.down(RecordingProgress(), purge=True)
