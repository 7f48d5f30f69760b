"""A cluster on paper: its description, its files in a temporary folder, programs that need not be there."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.zones.paths import ClusterPaths
from infra.zones.spec import ClusterSpec


class PathTools:
    """Programs by name, none of which need exist."""

    def path(self, name: str) -> Path:
        return Path("/tools") / name


@pytest.fixture
def spec() -> ClusterSpec:
    return ClusterSpec.model_validate({"name": "paper", "subnet": "10.200.0.0/16"})


@pytest.fixture
def layout(tmp_path: Path, spec: ClusterSpec) -> ClusterPaths:
    layout = ClusterPaths(tmp_path / "state", spec.name)
    layout.pki.mkdir(parents=True)
    return layout


@pytest.fixture
def tools() -> PathTools:
    return PathTools()
