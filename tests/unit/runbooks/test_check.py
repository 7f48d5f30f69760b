"""Checks return a finding or None; what cannot be read is an error, never None."""

from __future__ import annotations

import dataclasses

import pytest

from infra.errors import UsageError
from runbooks import checks
from runbooks.check import Action, Check, Step, UnavailableError
from runbooks.fakes import FakeContext, component

CHECKS = {check.id: check for check in checks.all_checks()}


@pytest.mark.parametrize("slug", checks.slugs())
def test_check_has_the_id_of_its_module_and_a_description(slug: str) -> None:
    check = checks.find_check(slug)
    assert check.id == slug
    assert check.description.endswith(".")


@pytest.mark.parametrize("slug", checks.slugs())
def test_steps_read_before_they_change_and_verify_at_the_end(slug: str) -> None:
    kinds = [step.kind for step in checks.find_steps(slug)]
    assert kinds == sorted(kinds, key=("look", "act", "verify").index)
    assert kinds[0] == "look"
    assert kinds[-1] == "verify"


@pytest.mark.parametrize("slug", checks.slugs())
def test_actions_have_unique_ids_and_a_program(slug: str) -> None:
    actions = [step.action for step in checks.find_steps(slug) if step.action]
    assert len({action.id for action in actions}) == len(actions)
    assert {action.command[0] for action in actions} <= {"esq", "kubectl"}


def test_unknown_check_names_the_command_that_lists_them() -> None:
    with pytest.raises(UsageError, match="there is no check `nonsense`"):
        checks.find_check("nonsense")


def test_component_that_cannot_be_read_is_an_error() -> None:
    context = FakeContext(component=UnavailableError("the API server does not answer"))
    with pytest.raises(UnavailableError, match="does not answer"):
        CHECKS["postgres-down"].function(context)


def test_lost_primary_names_its_zone_and_all_replicas() -> None:
    finding = CHECKS["postgres-down"].function(FakeContext(component=component("postgres", r0="stopped")))
    assert finding is not None
    assert finding.reason == "postgres has no working primary"
    assert finding.zones == {"zone-a"}
    assert "postgres-0 (zone-a, primary): stopped" in finding.evidence


def test_action_contains_the_environment() -> None:
    action = Action("deploy", "Deploys.", ("esq", "deploy", "{env}"), "safe", ("esq", "preview", "{env}"))
    assert action.text("staging") == "esq deploy staging"
    assert action.argv("staging", dry=True) == ("esq", "preview", "staging")


def test_missing_dry_run_is_an_error() -> None:
    action = Action("deploy", "Deploys.", ("esq", "deploy", "{env}"), "safe")
    with pytest.raises(ValueError, match="the action `deploy` has no dry run"):
        action.argv("staging", dry=True)


def test_step_needs_the_part_of_its_kind() -> None:
    check = Check("a", "Whether a.", lambda _: None)
    action = Action("b", "Does b.", ("esq",), "safe")
    for parts in ({"kind": "look"}, {"kind": "act", "check": check}, {"kind": "verify", "action": action}):
        with pytest.raises(ValueError, match="and nothing else"):
            Step(**parts)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Step("look", check=check).kind = "act"  # type: ignore[misc]
