"""Errors for users: message, location and the next step.

Everything that the toolkit raises on purpose is an `EsqError`. The command line prints it and chooses the
exit code. Any other exception is a defect and keeps its traceback.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence


class ExitCode(IntEnum):
    """Exit codes of `esq`.

    Attributes:
        OK: the command completed, and what it checked is healthy.
        FAILED: the command failed, or what it checked is not healthy.
        USAGE: the request is invalid; nothing was started.
        SLO_VIOLATED: the command completed, but an SLO or a threshold is violated.
        INTERRUPTED: Ctrl-C, as a shell reports it (128 + SIGINT).
    """

    OK = 0
    FAILED = 1
    USAGE = 2
    SLO_VIOLATED = 99
    INTERRUPTED = 130


@dataclass(frozen=True)
class Problem:
    """A reported problem and its remedy.

    Attributes:
        message: the problem, with the value that causes it.
        location: the setting, file, resource or host fact with the problem.
        remedy: the next step for the reader, ready to paste where it is a command.
    """

    message: str
    location: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.location}: {self.message}. {self.remedy}"


class EsqError(Exception):
    """The requested operation failed (exit code 1).

    Args:
        message: the reason.
        location: the setting, file, resource or program that failed.
        remedy: the next step for the reader.
        detail: further facts, such as the output of a program; may have several lines.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, *, location: str = "", remedy: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.location = location
        self.remedy = remedy
        self.detail = detail

    @classmethod
    def caused_by(cls, cause: EsqError, message: str, *, remedy: str) -> Self:
        """Return an error of a whole operation, with the location and detail of the step that failed.

        Args:
            cause: the error of the step; its message follows the new one.
            message: what the failure means for the operation.
            remedy: the next step for the reader.
        """
        return cls(f"{message}: {cause.message}", location=cause.location, remedy=remedy, detail=cause.detail)


class UsageError(EsqError):
    """The request is invalid (exit code 2)."""

    exit_code = ExitCode.USAGE


class UnreachableError(EsqError):
    """Something does not answer for now; a later attempt may succeed, so that a wait may outlast it."""


class SloViolatedError(EsqError):
    """The operation completed, but an SLO or a threshold is violated (exit code 99)."""

    exit_code = ExitCode.SLO_VIOLATED


class ProblemsError(UsageError):
    """The input has one or more problems; all are reported together, and nothing was started.

    Args:
        message: summary.
        problems: all problems.
    """

    def __init__(self, message: str, problems: Sequence[Problem]) -> None:
        super().__init__(message, detail="\n".join(f"- {problem}" for problem in problems))
        self.problems = tuple(problems)
