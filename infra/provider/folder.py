"""Where the engine finds the plugin: a folder with one executable, to be put on PATH."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

EXECUTABLE = "pulumi-resource-kubernetes"
_PROJECT = Path(__file__).resolve().parents[2]


def plugin_folder(target: Path | None = None) -> Path:
    """Write the executable for this very interpreter into `target` and return that folder.

    Args:
        target: folder to write to; one below the system's temporary folder when None.
    """
    folder = target or Path(tempfile.gettempdir()) / f"esq-provider-{abs(hash((sys.executable, _PROJECT))):x}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    script = folder / EXECUTABLE
    fresh = folder / f".{EXECUTABLE}.new"
    fresh.write_text(
        f'#!/bin/sh\nPYTHONPATH="{_PROJECT}" exec "{sys.executable}" -m infra.provider.plugin "$@"\n'
    )
    fresh.chmod(0o700)
    fresh.replace(script)
    return folder
