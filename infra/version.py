"""The version of esq: the one of pyproject.toml, and the commit of a checkout."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

_PROJECT = Path(__file__).resolve().parents[1]
_GIT_TIMEOUT_SECONDS = 5.0


def version() -> str:
    """Return the version, e.g. `0.1.0`."""
    document = tomllib.loads((_PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    return str(document["project"]["version"])


def commit() -> str:
    """Return the short hash of the checked out commit, with `-dirty` when files differ; empty without git."""
    argv = ["git", "-C", str(_PROJECT), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_GIT_TIMEOUT_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
