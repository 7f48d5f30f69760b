"""Errors for people: what was wrong, where, and the next step.

Whatever the toolkit raises on purpose is an `EsqError`; the command line prints it and chooses the exit code.
Anything else that escapes is a defect and keeps its traceback.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and the way out.

    Attributes:
        what: the fault, with the value that was found.
        where: the setting, file, resource or host fact it was found in.
        remedy: the next step for the reader, ready to paste where it is a command.
    """

    what: str
    where: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}. {self.remedy}"


class EsqError(Exception):
    """The thing that was asked for failed (exit code 1)."""

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", remedy: str = "", detail: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.remedy = remedy
        self.detail = detail


class WrongUseError(EsqError):
    """What was asked for makes no sense as it was asked (exit code 2)."""

    exit_code = 2


class BrokenPromiseError(EsqError):
    """Everything ran, and a promise or threshold does not hold (exit code 99)."""

    exit_code = 99


class ProblemsError(WrongUseError):
    """Several things are wrong; all are told together, and nothing was started."""

    def __init__(self, what: str, problems: Sequence[Problem]) -> None:
        super().__init__(what, detail="\n".join(f"- {problem}" for problem in problems))
        self.problems = tuple(problems)
