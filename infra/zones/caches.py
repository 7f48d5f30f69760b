"""Outdated folders in the user's cache: Python environments and tools of other versions, failed builds."""

from __future__ import annotations

import fcntl
import re
import shutil
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from infra.subprocesses import run
from infra.zones.toolchain.builds import go_folder
from infra.zones.toolchain.tools import TOOLS

if TYPE_CHECKING:
    from collections.abc import Iterator


_REMOVED = ".removed"
_SEPARATORS = re.compile(r"[=:,;\s]")
"""Between paths in one argument, e.g. of a class path or a shell's script."""


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
    used = _paths_in_arguments()
    return [
        OutdatedFolder(path, disk_usage_bytes(path))
        for path in _versioned_folders(cache)
        if path not in current and path not in used and not _is_locked(cache, path)
    ]


def remove_folder(cache: Path, folder: Path) -> bool:
    """Remove an outdated folder, unless a build has started to write it.

    A rename comes first, so that an interrupted removal leaves no folder that counts as complete. The next
    removal finds the new name too.

    Args:
        cache: the user's cache folder.
        folder: the folder.

    Returns:
        Whether it was removed.
    """
    with ExitStack() as stack:
        if not all(_try_lock(stack, lock) for lock in _locks(cache, folder)):
            return False
        removed = folder
        if folder.suffix != _REMOVED:
            removed = folder.with_name(f".{folder.name.lstrip('.')}{_REMOVED}")
            shutil.rmtree(removed, ignore_errors=True)
            folder.rename(removed)
        shutil.rmtree(removed)
    return True


def disk_usage_bytes(path: Path) -> int:
    """Return the size of a file or folder on disk; 0 if it does not exist."""
    if not path.exists():
        return 0
    # Files of running processes come and go; du ignores that, and its last line is the sum.
    return int(
        run(["du", "--summarize", "--block-size=1", str(path)], check=False).splitlines()[-1].split()[0]
    )


def _versioned_folders(cache: Path) -> Iterator[Path]:
    patterns = ("venv-*", f".venv-*{_REMOVED}", "build/*", "toolchain/*-*")
    for pattern in patterns:
        yield from (path for path in sorted(cache.glob(pattern)) if path.is_dir())


def _paths_in_arguments() -> set[Path]:
    """Return the paths in the programs and arguments of all processes, and the folders that contain them."""
    paths = {
        Path(text)
        for process in psutil.process_iter(["exe", "cmdline"])
        for argument in (process.info["exe"] or "", *(process.info["cmdline"] or ()))
        for text in _SEPARATORS.split(argument)
        if text.startswith("/")
    }
    return {folder for path in paths for folder in (path, *path.parents)}


def _locks(cache: Path, folder: Path) -> list[Path]:
    """Return the locks that the writer of a folder holds: the tool's build, or the launcher for a venv."""
    name = folder.name.lstrip(".")
    if folder.parent == cache:
        return [path for path in (cache / "environment.lock",) if path.exists()]
    locks = sorted((cache / "toolchain" / "logs").glob("*.lock"))
    return [
        lock for lock in locks if name == lock.stem or name.startswith((f"{lock.stem}-", f"{lock.stem}."))
    ]


def _is_locked(cache: Path, folder: Path) -> bool:
    with ExitStack() as stack:
        return not all(_try_lock(stack, lock) for lock in _locks(cache, folder))


def _try_lock(stack: ExitStack, path: Path) -> bool:
    """Take a lock until the stack is closed; return False if another process holds it."""
    file = stack.enter_context(path.open("w"))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
