"""Who decides about the actions of a run: a person on the terminal, or the policy of the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from runbooks.check import Action
    from runbooks.policy import Policy
    from runbooks.run_record import StepRecord

_MARKS = {
    "good": "✓",
    "finding": "✗",
    "unread": "?",
    "done": "✓",
    "failed": "✗",
    "declined": "-",
    "skipped": "-",
    "running": "…",
}
"""Marks of the states that are shown; others are followed by a question."""


class TerminalOperator:
    """A person: sees each step, and decides about each action.

    Args:
        policy: policy of the environment.
        kubectl: kubectl with the kubeconfig of the environment, to paste.
        yes: whether `--yes` answers, where it may.
    """

    is_unattended = False

    def __init__(self, policy: Policy, *, kubectl: str, yes: bool) -> None:
        self._policy = policy
        self._kubectl = kubectl
        self._yes = yes

    def show(self, step: StepRecord) -> None:
        """Print a step that has started or ended."""
        if mark := _MARKS.get(step.state):
            typer.echo(f"{mark} {step.id}" + (f": {step.reason}" if step.reason else ""))
        if step.state not in {"proposed", "previewing", "running"}:
            _print_lines(step.evidence)

    def approves(self, action: Action, step: StepRecord) -> bool:
        """Show an action with its dry run, and ask.

        Args:
            action: the action.
            step: its record.
        """
        typer.echo(f"\n{step.id} ({action.risk}): {action.description}")
        if step.reason:
            typer.echo(f"  ! {step.reason}")
        _print_lines(step.evidence)
        typer.echo(f"  $ {pasteable(step.command, self._kubectl)}")
        if self._yes and self._policy.yes_is_enough(action):
            return True
        return typer.confirm("Run it?", default=False, err=True)


class UnattendedOperator:
    """The policy: runs what it allows, and leaves the rest to a person.

    Args:
        policy: policy of the environment.
        yes: whether `--yes` was given.
    """

    is_unattended = True

    def __init__(self, policy: Policy, *, yes: bool = False) -> None:
        self._policy = policy
        self._yes = yes

    def show(self, step: StepRecord) -> None:
        """Show nothing: the record has it."""

    def approves(self, action: Action, step: StepRecord) -> bool | None:
        """Return whether the policy, or `--yes`, allows an action; None leaves it to a person.

        Args:
            action: the action.
            step: its record.
        """
        del step
        is_allowed = self._policy.may_run_unattended(action)
        return True if is_allowed or (self._yes and self._policy.yes_is_enough(action)) else None


def pasteable(command: str, kubectl: str) -> str:
    """Return a command to paste, where kubectl names the kubeconfig.

    Args:
        command: command of `esq` or kubectl.
        kubectl: kubectl with the kubeconfig of the environment.
    """
    return kubectl + command.removeprefix("kubectl") if command.startswith("kubectl ") else command


def _print_lines(lines: tuple[str, ...]) -> None:
    for line in lines:
        typer.echo(f"    {line}")
