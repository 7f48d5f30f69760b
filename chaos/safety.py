"""Safety of experiments: confirmation, preconditions, and the wait for a healthy system."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from chaos import capabilities
from infra.errors import EsqError, ProblemsError, UsageError

if TYPE_CHECKING:
    from chaos.experiment import Experiment
    from chaos.target import Target
    from infra.progress import ProgressStep

HEALTHY_TIMEOUT_SECONDS = 180.0
_POLL_INTERVAL_SECONDS = 1.0


class SteadyStateError(EsqError):
    """The system is not in its steady state, so the effect of a fault could not be measured."""


def require_confirmation(environment: str, confirmed_name: str | None, *, is_embedded: bool) -> None:
    """Require the name of the environment as confirmation, unless its cluster is an embedded one.

    Args:
        environment: name of the environment.
        confirmed_name: value of `--confirm`.
        is_embedded: whether its cluster is proved to be the embedded one of this machine, and so belongs to
            nobody else; the name `local` proves nothing.

    Raises:
        UsageError: the confirmation is missing or names another environment.
    """
    if not is_embedded and environment != confirmed_name:
        raise UsageError(
            f"faults in `{environment}` require confirmation",
            location="--confirm",
            remedy=f"To confirm, add: --confirm {environment}",
        )


def require_capabilities(experiment: Experiment, target: Target) -> None:
    """Require that the target offers what the actions of an experiment need.

    Args:
        experiment: the experiment.
        target: environment of the experiment.

    Raises:
        ProblemsError: everything that is missing.
        EsqError: the cluster is unreachable.
    """
    if problems := capabilities.find_problems(experiment.document, target):
        raise ProblemsError(f"`{experiment.name}` cannot run in `{target.environment}`", problems)


def check_preconditions(target: Target) -> None:
    """Check that no fault is open and the system is healthy.

    Raises:
        EsqError: a fault is open, of another experiment or of an interrupted one, or may be open.
        SteadyStateError: the system is not healthy.
    """
    contents = target.journal.read()
    if contents.open_faults or contents.problems:
        faults = ", ".join(str(open_fault.fault) for open_fault in contents.open_faults)
        raise EsqError(
            f"a fault is already open: {faults or 'an entry of the journal cannot be read'}",
            location=str(target.journal.folder),
            remedy=f"Undo it: `esq chaos rollback {target.environment}`.",
            detail="\n".join(f"- {problem}" for problem in contents.problems),
        )
    if problems := target.find_problems():
        raise SteadyStateError(
            "the system is not in its steady state, so the experiment was not started",
            location=target.environment,
            remedy=f"See `esq status {target.environment}`.",
            detail="\n".join(f"- {problem}" for problem in problems),
        )


def wait_until_healthy(
    target: Target, step: ProgressStep, timeout: float = HEALTHY_TIMEOUT_SECONDS
) -> list[str]:
    """Wait until the system is healthy.

    Args:
        target: environment to check.
        step: progress step that shows the problems.
        timeout: timeout in seconds.

    Returns:
        The problems that remain after the timeout; empty if the system is healthy.
    """
    deadline = time.monotonic() + timeout
    while problems := target.find_problems():
        step.set_status("; ".join(problems))
        if time.monotonic() > deadline:
            return problems
        time.sleep(_POLL_INTERVAL_SECONDS)
    return []
