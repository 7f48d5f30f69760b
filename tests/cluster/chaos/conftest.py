"""An embedded cluster for the fault tests."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from infra.progress import RecordingProgress
from tests.servers.fault_driver import HostUnderTest
from tests.servers.zones import ZonesUnderTest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.zones.toolchain import Toolchain


@pytest.fixture(scope="module")
def zones(tools: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZonesUnderTest]:
    """A running cluster; it is removed after the tests."""
    zones = ZonesUnderTest(tmp_path_factory.mktemp("zones"), "chaos", "10.96.", tools)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        try:
            zones.up()
            yield zones
        finally:
            zones.cluster.down(RecordingProgress(), purge=True)
            sys.stdout.write("\n".join(["", *zones.figures, ""]))


@pytest.fixture
def host(zones: ZonesUnderTest) -> HostUnderTest:
    """The host of the cluster."""
    return HostUnderTest(zones)
