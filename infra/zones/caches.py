"""Outdated folders in the user's cache: Python environments and tools of other versions, failed builds."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from infra.subprocesses import run
from infra.zones.toolchain.builds import go_folder
from infra.zones.toolchain.tools import TOOLS

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class OutdatedFolder:
    """A folder that nothing uses.

    Attributes:
        path: its path.
        size_bytes: its size on disk.
    """

    path: Path
    size_bytes: int


def outdated_folders(cache: Path) -> list[OutdatedFolder]:
    """Return the folders that neither this version of esq nor a running process uses.

    Args:
        cache: the user's cache folder.
    """
    current = {
        Path(sys.prefix),
        go_folder(cache / "toolchain"),
        *(cache / "toolchain" / tool.key for tool in TOOLS),
    }
    arguments = _arguments_of_processes()
    return [
        OutdatedFolder(path, disk_usage_bytes(path))
        for path in _versioned_folders(cache)
        if path not in current and f"{path}/" not in arguments
    ]


def disk_usage_bytes(path: Path) -> int:
    """Return the size of a file or folder on disk; 0 if it does not exist."""
    if not path.exists():
        return 0
    # Files of running processes come and go; du ignores that, and its last line is the sum.
    return int(
        run(["du", "--summarize", "--block-size=1", str(path)], check=False).splitlines()[-1].split()[0]
    )


def _versioned_folders(cache: Path) -> Iterator[Path]:
    patterns = ("venv-*", "build/*", "toolchain/*-*", "toolchain/.*.new")
    for pattern in patterns:
        yield from (path for path in sorted(cache.glob(pattern)) if path.is_dir())


def _arguments_of_processes() -> str:
    """Return the programs and arguments of all processes, one per line."""
    processes = psutil.process_iter(["exe", "cmdline"])
    return "\n".join(
        "\n".join((process.info["exe"] or "", *(process.info["cmdline"] or ()))) for process in processes
    )
