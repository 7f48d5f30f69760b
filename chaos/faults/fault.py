"""A fault as data: commands that hurt, and commands that put everything back.

Both are plain argument lists, so that they can be shown before they are run, written to disk before anything
is hurt, run by a process that knows nothing else, and pasted by a person when no tool is left.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Iterable

Command = tuple[str, ...]
"""Program and arguments; no shell is involved unless the program is one."""


class Fault(BaseModel):
    """One way to hurt one thing.

    Attributes:
        kind: what is done, e.g. `zone-cut`; two faults of a kind differ in their target.
        target: what is hurt, e.g. `zone-b` or `pod esq-data/postgres-0`.
        inject: run in order, each must end with 0; what has to go on in the background detaches itself.
        undo: run in order, also when only a part of `inject` was run, or when it was undone already: each
            ends with 0 when what it is for is so.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    target: str
    inject: tuple[Command, ...]
    undo: tuple[Command, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind} of {self.target}"


def render(commands: Iterable[Command]) -> str:
    """Return `commands` as lines to paste into a shell."""
    return "\n".join(shlex.join(command) for command in commands)
