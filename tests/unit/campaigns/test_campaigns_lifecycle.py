"""Effective states and allowed actions of campaigns."""

from __future__ import annotations

import pytest

from services.campaigns.domain.lifecycle import (
    RESULTING_STATE,
    Action,
    CampaignState,
    RequestedState,
    effective_state,
    is_applicable,
)
from services.campaigns.domain.model import MessageState
from services.kit.errors import ConflictError


@pytest.mark.parametrize(
    ("requested_state", "planned", "failure", "counts", "state"),
    [
        (RequestedState.ACTIVE, False, None, {}, CampaignState.PLANNING),
        (RequestedState.ACTIVE, True, "no list", {}, CampaignState.FAILED),
        (
            RequestedState.ACTIVE,
            True,
            None,
            {MessageState.QUEUED: 1, MessageState.SENT: 2},
            CampaignState.RUNNING,
        ),
        (RequestedState.ACTIVE, True, None, {MessageState.ACCEPTED: 1}, CampaignState.RUNNING),
        (RequestedState.ACTIVE, True, None, {MessageState.PENDING: 1}, CampaignState.RUNNING),
        (
            RequestedState.ACTIVE,
            True,
            None,
            {MessageState.SENT: 2, MessageState.UNCERTAIN: 1},
            CampaignState.FINISHED,
        ),
        (
            RequestedState.ACTIVE,
            True,
            None,
            {MessageState.CANCELLED: 2, MessageState.EXPIRED: 1},
            CampaignState.FINISHED,
        ),
        (RequestedState.ACTIVE, True, None, {}, CampaignState.FINISHED),
        (RequestedState.DRAFT, False, None, {}, CampaignState.DRAFT),
        (RequestedState.WAITING, False, None, {}, CampaignState.WAITING),
        (RequestedState.PAUSED, True, None, {MessageState.QUEUED: 1}, CampaignState.PAUSED),
        (RequestedState.CANCELLED, True, None, {MessageState.QUEUED: 1}, CampaignState.CANCELLED),
    ],
)
def test_effective_state(
    *,
    requested_state: RequestedState,
    planned: bool,
    failure: str | None,
    counts: dict[MessageState, int],
    state: CampaignState,
) -> None:
    assert effective_state(requested_state, planned, failure, counts) is state


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("state", CampaignState)
def test_action_is_applicable_or_already_applied_or_conflicts(action: Action, state: CampaignState) -> None:
    """No action applies to a final state; an already applied action has led to the current state."""
    try:
        applicable = is_applicable(action, state)
    except ConflictError:
        return
    final = {CampaignState.FINISHED, CampaignState.CANCELLED, CampaignState.FAILED}
    assert not (applicable and state in final)
    assert applicable or RESULTING_STATE[action].value in {RequestedState.ACTIVE.value, state.value}


def test_conflict_names_the_allowed_actions() -> None:
    with pytest.raises(ConflictError, match="is finished: pause is not allowed; allowed: clone"):
        is_applicable(Action.PAUSE, CampaignState.FINISHED)
    with pytest.raises(ConflictError, match="is draft: resume is not allowed; allowed: start or cancel"):
        is_applicable(Action.RESUME, CampaignState.DRAFT)
