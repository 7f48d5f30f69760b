"""Bearer tokens of a load test, read again when `esq load` replaces them: a rotation retires their key."""

from __future__ import annotations

import os
import time
from functools import cache
from pathlib import Path

from loadtests.protocol import CONFIG_VARIABLE, LoadConfig

CHECK_INTERVAL_SECONDS = 1.0
Tokens = tuple[tuple[str, str], ...]
"""Companies, each with its token."""


class TokenFile:
    """The tokens in the file of a configuration.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tokens: Tokens = ()
        self._version: tuple[int, int] | None = None
        self._next_check_at = 0.0

    def read(self) -> Tokens:
        """Return the tokens; the file is looked at once per interval, and read if it has changed."""
        now = time.monotonic()
        if now >= self._next_check_at:
            self._next_check_at = now + CHECK_INTERVAL_SECONDS
            self._update()
        return self._tokens

    def _update(self) -> None:
        try:
            status = self._path.stat()
            version = (status.st_ino, status.st_mtime_ns)
            if version == self._version:
                return
            target = LoadConfig.model_validate_json(self._path.read_text(encoding="utf-8")).target
        except (OSError, ValueError):  # it is being written: the present tokens are used until the next check
            return
        self._tokens = tuple(target.tokens.items()) if target else ()
        self._version = version


@cache
def token_file() -> TokenFile:
    """Return the file of this process."""
    return TokenFile(Path(os.environ.get(CONFIG_VARIABLE) or os.devnull))
