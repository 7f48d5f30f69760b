"""Where the engine finds the plugin: a folder with one executable, to be put on PATH."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import platformdirs

EXECUTABLE = "pulumi-resource-kubernetes"
_PROJECT = Path(__file__).resolve().parents[2]


def plugin_folder(target: Path | None = None) -> Path:
    """Write the executable for this very interpreter into `target` and return that folder.

    Args:
        target: folder to write to; one in the user's cache when None.
    """
    digest = hashlib.sha256(f"{sys.executable}\0{_PROJECT}".encode()).hexdigest()[:12]
    folder = target or platformdirs.user_cache_path("esq") / "provider" / digest
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    script = folder / EXECUTABLE
    fresh = folder / f".{EXECUTABLE}.new"
    fresh.write_text(
        f'#!/bin/sh\nPYTHONPATH="{_PROJECT}" exec "{sys.executable}" -m infra.provider.plugin "$@"\n'
    )
    fresh.chmod(0o700)
    fresh.replace(script)
    return folder
