"""The tools of the clusters of namespaces."""

from __future__ import annotations

import platformdirs
import pytest

from infra.progress import RecordingProgress
from infra.zones.toolchain import Toolchain

TOOLS = ("kubernetes", "etcd", "coredns", "local-path-provisioner")


@pytest.fixture(scope="session")
def tools() -> Toolchain:
    """The user's toolchain; missing tools are built."""
    tools = Toolchain(platformdirs.user_cache_path("esq") / "toolchain", RecordingProgress())
    tools.ensure(TOOLS)
    return tools
