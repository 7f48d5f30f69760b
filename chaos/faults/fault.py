"""A fault as data: commands that inject it and commands that undo it.

Both are argument lists. They can be shown before they run, written to disk before the injection, executed by
a process without further data (the watchdog), and pasted by a person if no tool is available.
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
    """A fault of one target.

    Attributes:
        kind: kind of the fault, for example `zone-isolation`; two faults of a kind differ in their target.
        target: the affected object, for example `zone-b` or `pod esq-data/postgres-0`.
        inject: commands that run in order and must exit with 0; a background process detaches itself.
        undo: commands that run in order, also after a partial injection or a previous undo: each exits with 0
            if the state that it restores is reached.
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
