"""Flips one bit of a data file, and flips it back.

    bit_flipper.py locate PATTERN ...              prints the place: file, offset, digest
    bit_flipper.py flip | restore FILE OFFSET DIGEST

The digest is that of the bytes around the place before the flip. A file that has changed since is not
touched: the store has written or replaced the data, and a second flip would be new damage.
Only the standard library is imported, so that the program starts fast and as root.
"""

from __future__ import annotations

import glob
import hashlib
import os
import sys
from pathlib import Path

WINDOW_BYTES = 32
PAGE_BYTES = 8192
"""A page of Postgres."""
_LENGTH_OFFSET = 8
"""Offset of the length of a Kafka batch, which counts the bytes after it."""
_LENGTH_END = 12
_BIT = 1


def locate(patterns: list[str]) -> tuple[str, int, str]:
    """Return file, offset and digest of the place to damage: in the largest of the matching files.

    In a log of Kafka it is the last byte of the first batch, which is covered by the checksum and not written
    any more. In other files it is the middle of the page in the middle: a page of Postgres starts with its
    position in the WAL, and a base backup does not verify a page that seems newer than itself.

    Raises:
        FileNotFoundError: no file matches that has any data.
    """
    files = [file for pattern in patterns for file in glob.glob(pattern) if os.path.isfile(file)]  # noqa: PTH207, PTH113 - patterns with absolute paths
    largest = max(files, key=os.path.getsize, default="")
    if not largest or not os.path.getsize(largest):  # noqa: PTH202 - as above
        raise FileNotFoundError(f"no file with data matches {' '.join(patterns)}")
    size = os.path.getsize(largest)  # noqa: PTH202 - as above
    middle = size // 2 // PAGE_BYTES * PAGE_BYTES + PAGE_BYTES // 2
    offset = middle if middle < size else size // 2
    if largest.endswith(".log"):
        with open(largest, "rb") as file:  # noqa: PTH123 - as above
            header = file.read(_LENGTH_END)
        offset = _LENGTH_END + int.from_bytes(header[_LENGTH_OFFSET:], "big") - 1
    return largest, offset, digest(_window(largest, offset))


def flip(file: str, offset: int, expected: str, *, restore: bool = False) -> bool:
    """Flip the bit, or flip it back.

    Args:
        file: the data file.
        offset: byte of the bit.
        expected: digest of the bytes around it before the flip.
        restore: whether to flip it back.

    Returns:
        Whether the bit was flipped; False if the data has changed in the meantime.
    """
    with Path(file).open("r+b") as data:
        start = max(0, offset - WINDOW_BYTES // 2)
        data.seek(start)
        before = data.read(WINDOW_BYTES)
        after = bytearray(before)
        after[offset - start] ^= _BIT
        if digest(bytes(after) if restore else before) != expected:
            return False
        data.seek(offset)
        data.write(after[offset - start : offset - start + 1])
        data.flush()
        os.fsync(data.fileno())
        return True


def digest(window: bytes) -> str:
    """Return the digest of the bytes around a place."""
    return hashlib.sha256(window).hexdigest()[:16]


def _window(file: str, offset: int) -> bytes:
    with Path(file).open("rb") as data:
        data.seek(max(0, offset - WINDOW_BYTES // 2))
        return data.read(WINDOW_BYTES)


def main(mode: str, *arguments: str) -> int:
    """Run a command line; return the exit code.

    Args:
        mode: `locate`, `flip` or `restore`.
        arguments: of the mode.
    """
    if mode == "locate":
        sys.stdout.write("{}\n{}\n{}\n".format(*locate(list(arguments))))
        return 0
    file, offset, expected = arguments
    if mode == "restore":
        if os.path.exists(file):  # noqa: PTH110 - as above
            flip(file, int(offset), expected, restore=True)
        return 0
    if flip(file, int(offset), expected):
        return 0
    sys.stderr.write(f"{file} has changed since its place was chosen\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
