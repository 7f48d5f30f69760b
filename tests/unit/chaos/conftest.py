"""Names and files of a cluster that does not exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.zones.paths import ClusterPaths
from infra.zones.spec import ClusterSpec


@pytest.fixture
def spec() -> ClusterSpec:
    return ClusterSpec.model_validate({"name": "paper", "subnet": "10.200.0.0/16"})


@pytest.fixture
def paths(tmp_path: Path) -> ClusterPaths:
    return ClusterPaths(tmp_path / "state", "paper")
