"""`esq cluster`: what is deleted, and only after confirmation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli.main import run
from infra.zones import Cluster

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("options", "code", "downs"),
    [([], 0, [False]), (["--purge"], 2, []), (["--purge", "--yes"], 0, [True])],
    ids=["down", "purge", "confirmed"],
)
def test_deletion_of_the_state_requires_confirmation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: list[str], code: int, downs: list[bool]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    purged: list[bool] = []
    monkeypatch.setattr(Cluster, "down", lambda _, __, *, purge: purged.append(purge))
    assert run(["cluster", "down", *options]) == code
    assert purged == downs
