"""Lua scripts: each runs by the hash of its text, and is sent again if the server does not have it."""

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
NAMES = ("enqueue", "reserve", "ack", "stats")
KEYS = (
    "jobs",
    "ready",
    "ring",
    "served",
    "heads",
    "deadlines",
    "delayed",
    "leases",
    "done",
    "meta",
    "wake",
)
"""Key names of a queue, in the order in which `common.lua` unpacks them."""


@dataclass(frozen=True)
class Script:
    """A Lua script.

    Attributes:
        text: source code.
        sha: SHA-1 of the text, by which `EVALSHA` names it.
    """

    text: str
    sha: str

    async def run(self, client: Redis, keys: Sequence[str], values: Sequence[Value]) -> Any:  # noqa: ANN401 - return value of a Lua script
        """Run the script; send its text to a server that does not have it (new, restarted, after failover).

        Args:
            client: client of the Redis primary.
            keys: `KEYS` of the script.
            values: `ARGV` of the script.

        Returns:
            The reply of the script.
        """
        try:
            return await client.evalsha(self.sha, len(keys), *keys, *values)
        except NoScriptError:
            return await client.eval(self.text, len(keys), *keys, *values)


def load_script(name: str) -> Script:
    """Assemble a script from its flags, the common part and its body.

    Returns:
        The script with its SHA-1.
    """
    flags, body = (FOLDER / f"{name}.lua").read_text(encoding="utf-8").split("\n", 1)
    text = f"{flags}\n{(FOLDER / 'common.lua').read_text(encoding='utf-8')}\n{body}"
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


SCRIPTS = {name: load_script(name) for name in NAMES}
