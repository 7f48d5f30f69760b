"""What may run without a question: nothing, unless the policy file of the environment says so.

A person decides about each action on the terminal. `--yes` answers for safe and disruptive actions, and for a
destructive one only if the policy names it. Without a person, only safe actions that the policy names run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from infra.errors import Problem, ProblemsError
from infra.validation import problems_of, suggest
from runbooks import checks

if TYPE_CHECKING:
    from pathlib import Path

    from runbooks.check import Action

_REMEDY = "See runbooks/README.md for the policy."


class Policy(BaseModel):
    """Policy of an environment.

    Attributes:
        automatic: ids of safe actions that run without a person.
        yes_covers: ids of destructive actions that `--yes` answers for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    automatic: frozenset[str] = frozenset()
    yes_covers: frozenset[str] = frozenset()

    def may_run_unattended(self, action: Action) -> bool:
        """Return whether an action runs without a person."""
        return action.risk == "safe" and action.id in self.automatic

    def yes_is_enough(self, action: Action) -> bool:
        """Return whether `--yes` answers for an action."""
        return action.risk != "destructive" or action.id in self.yes_covers


def load_policy(file: Path) -> Policy:
    """Read a policy; without a file, nothing runs by itself.

    Raises:
        ProblemsError: all problems of the file.
    """
    if not file.is_file():
        return Policy()
    try:
        policy = Policy.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")) or {})
    except yaml.YAMLError as error:
        raise ProblemsError("invalid policy", [Problem(f"not YAML: {error}", str(file), _REMEDY)]) from error
    except ValidationError as error:
        problems = problems_of(error, source=str(file), remedy=_REMEDY)
        raise ProblemsError("invalid policy", problems) from error
    if problems := [*_action_problems(policy, str(file))]:
        raise ProblemsError("invalid policy", problems)
    return policy


def _action_problems(policy: Policy, source: str) -> list[Problem]:
    risks = {
        step.action.id: step.action.risk
        for slug in checks.slugs()
        for step in checks.find_steps(slug)
        if step.action
    }
    problems = [
        Problem(f"there is no action `{name}`", source, f"{suggest(name, risks)}{_REMEDY}")
        for name in sorted((policy.automatic | policy.yes_covers) - set(risks))
    ]
    return problems + [
        Problem(f"`{name}` is {risks[name]}: it never runs without a person", f"{source}: automatic", _REMEDY)
        for name in sorted(policy.automatic & set(risks))
        if risks[name] != "safe"
    ]
