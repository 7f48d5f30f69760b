"""A cluster of their own for these tests, with a pod to hurt."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import platformdirs
import pytest

from infra.progress import RecordingProgress
from infra.zones.toolchain import Toolchain
from tests.controllers.faults import Machine
from tests.controllers.zones import Zones

if TYPE_CHECKING:
    from collections.abc import Iterator

TOOLS = ("kubernetes", "etcd", "coredns", "local-path-provisioner")


@pytest.fixture(scope="module")
def zones(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zones]:
    """A cluster that is up; taken away at the end whatever happened."""
    tools = Toolchain(platformdirs.user_cache_path() / "esq" / "toolchain", RecordingProgress())
    tools.ensure(TOOLS)
    zones = Zones(tmp_path_factory.mktemp("zones"), "chaos", "10.96.", tools)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        try:
            zones.up()
            yield zones
        finally:
            zones.cluster.down(RecordingProgress(), purge=True)
            sys.stdout.write("\n".join(["", *zones.figures, ""]))


@pytest.fixture
def machine(zones: Zones) -> Machine:
    """The machine that the cluster is on."""
    return Machine(zones)
