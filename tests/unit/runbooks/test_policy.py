"""What may run without a question."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.errors import ProblemsError
from runbooks import checks
from runbooks.policy import Policy, load_policy
from tests.unit.runbooks.run_steps import DESTRUCTIVE, DISRUPTIVE, SAFE


def test_without_a_policy_nothing_runs_by_itself_and_yes_covers_nothing_destructive(tmp_path: Path) -> None:
    policy = load_policy(tmp_path / "none.yaml")
    assert not any(policy.may_run_unattended(action) for action in (SAFE, DISRUPTIVE, DESTRUCTIVE))
    assert [policy.yes_is_enough(action) for action in (SAFE, DISRUPTIVE, DESTRUCTIVE)] == [True, True, False]


def test_policy_covers_the_actions_that_it_names_and_automates_only_safe_ones() -> None:
    policy = Policy(automatic=frozenset({"wait", "restart"}), yes_covers=frozenset({"repair"}))
    assert [policy.may_run_unattended(action) for action in (SAFE, DISRUPTIVE, DESTRUCTIVE)] == [
        True,
        False,
        False,
    ]
    assert policy.yes_is_enough(DESTRUCTIVE)


def test_all_problems_of_a_policy_are_reported_at_once(tmp_path: Path) -> None:
    actions = {step.action for slug in checks.slugs() for step in checks.find_steps(slug) if step.action}
    safe = next(action.id for action in actions if action.risk == "safe")
    file = tmp_path / "local.yaml"
    file.write_text(f"automatic: [{safe}, a-none]\nyes_covers: [z-none]\n")
    with pytest.raises(ProblemsError) as error:
        load_policy(file)
    assert [problem.message for problem in error.value.problems] == [
        "there is no action `a-none`",
        "there is no action `z-none`",
    ]
    for content in ("automatic: {", "automatik: []"):
        file.write_text(content)
        with pytest.raises(ProblemsError, match="invalid policy"):
            load_policy(file)
