"""Pruning keeps the images of every environment of the user."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING

import yaml

import infra.zones
from cli.actions import caches
from infra.progress import RecordingProgress
from infra.zones.images import prune as pruning

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

RUNNING, STOPPED = (f"sha256:{digit * 64}" for digit in "12")


def test_images_of_a_stopped_cluster_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    stacks = tmp_path / "esq" / "environments" / "local" / "stacks"
    stacks.mkdir(parents=True)
    settings = json.dumps({"images": {"redis": f"10.95.0.1:5000/esq/redis@{STOPPED}"}})
    (stacks / "Pulumi.local-data.yaml").write_text(yaml.safe_dump({"config": {"esq:settings": settings}}))
    running = SimpleNamespace(image_digests=lambda: {RUNNING})
    monkeypatch.setattr(infra.zones, "running_clusters", lambda _: [running])
    monkeypatch.setattr(caches, "open_images", lambda _: SimpleNamespace(folder=tmp_path / "images"))
    monkeypatch.setattr(infra.zones, "registry_storage", lambda: tmp_path / "registry")
    protected: list[set[str]] = []
    monkeypatch.setattr(pruning, "prune", lambda _, __, used, **___: protected.append(used) or [])
    caches.prune_images(RecordingProgress(), preview=True)
    assert protected == [{RUNNING, STOPPED}]
