"""The queue's Lua scripts: each is run by the hash of its text, and sent anew when the server forgot it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

Value = bytes | str | int | float
FOLDER = Path(__file__).with_name("scripts")
NAMES = ("enqueue", "reserve", "extend", "settle", "stats", "adopt", "adopted")
KEYS = (
    "jobs",
    "waiting",
    "ring",
    "served",
    "heads",
    "deadlines",
    "delayed",
    "leases",
    "done",
    "dead",
    "meta",
    "wake",
)
"""Names of a queue's keys, in the order that `common.lua` takes them apart."""


@dataclass(frozen=True)
class Script:
    """A script.

    Attributes:
        text: what the server runs.
        sha: what it is called by.
    """

    text: str
    sha: str

    async def run(self, client: Redis, keys: Sequence[str], values: Sequence[Value]) -> Any:  # noqa: ANN401 - what Lua returns
        """Run it; a server that does not know it yet (new, restarted, failed over) is sent its text."""
        try:
            return await client.evalsha(self.sha, len(keys), *keys, *values)
        except NoScriptError:
            return await client.eval(self.text, len(keys), *keys, *values)


def load(name: str) -> Script:
    """Put a script together: its flags, what is common to all, its body."""
    flags, body = (FOLDER / f"{name}.lua").read_text(encoding="utf-8").split("\n", 1)
    text = f"{flags}\n{(FOLDER / 'common.lua').read_text(encoding='utf-8')}\n{body}"
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


SCRIPTS = {name: load(name) for name in NAMES}
