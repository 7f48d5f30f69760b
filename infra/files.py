"""Files that a crash never leaves incomplete."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_atomically(path: Path, content: str | bytes, mode: int = 0o600) -> Path:
    """Replace a file atomically; unchanged content is not written.

    Args:
        path: path of the file.
        content: content of the file.
        mode: permissions of the file.

    Returns:
        The path of the file.
    """
    data = content.encode() if isinstance(content, str) else content
    if path.exists() and path.read_bytes() == data:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.touch(mode=mode)
    fresh.write_bytes(data)
    fresh.chmod(mode)
    fresh.replace(path)
    return path
