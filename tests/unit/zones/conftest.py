"""A cluster that is never started: its spec, its files in a temporary folder, paths of missing programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.zones.paths import ClusterPaths
from infra.zones.spec import ClusterSpec


class PathTools:
    """Paths of programs that do not exist."""

    def path(self, name: str) -> Path:
        return Path("/tools") / name


@pytest.fixture
def spec() -> ClusterSpec:
    return ClusterSpec.model_validate({"name": "paper", "subnet": "10.200.0.0/16"})


@pytest.fixture
def paths(tmp_path: Path, spec: ClusterSpec) -> ClusterPaths:
    paths = ClusterPaths(tmp_path / "state", spec.name)
    paths.pki.mkdir(parents=True)
    return paths


@pytest.fixture
def tools() -> PathTools:
    return PathTools()
