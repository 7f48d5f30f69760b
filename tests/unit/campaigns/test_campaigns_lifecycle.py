"""Where a campaign is, and what may be asked of it there."""

from __future__ import annotations

import pytest

from services.campaigns.domain import State
from services.campaigns.lifecycle import AFTER, Action, Stage, Status, is_due, stage_of
from services.kit.errors import ConflictError


@pytest.mark.parametrize(
    ("status", "planned", "failure", "counts", "stage"),
    [
        (Status.ACTIVE, False, None, {}, Stage.PLANNING),
        (Status.ACTIVE, True, "no list", {}, Stage.FAILED),
        (Status.ACTIVE, True, None, {State.QUEUED: 1, State.SENT: 2}, Stage.RUNNING),
        (Status.ACTIVE, True, None, {State.ACCEPTED: 1}, Stage.RUNNING),
        (Status.ACTIVE, True, None, {State.PENDING: 1}, Stage.RUNNING),
        (Status.ACTIVE, True, None, {State.SENT: 2, State.UNCERTAIN: 1}, Stage.FINISHED),
        (Status.ACTIVE, True, None, {State.CANCELLED: 2, State.EXPIRED: 1}, Stage.FINISHED),
        (Status.ACTIVE, True, None, {}, Stage.FINISHED),
        (Status.DRAFT, False, None, {}, Stage.DRAFT),
        (Status.WAITING, False, None, {}, Stage.WAITING),
        (Status.PAUSED, True, None, {State.QUEUED: 1}, Stage.PAUSED),
        (Status.CANCELLED, True, None, {State.QUEUED: 1}, Stage.CANCELLED),
    ],
)
def test_stage(
    *, status: Status, planned: bool, failure: str | None, counts: dict[State, int], stage: Stage
) -> None:
    assert stage_of(status, planned, failure, counts) is stage


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("stage", Stage)
def test_an_action_is_due_or_done_or_impossible(action: Action, stage: Stage) -> None:
    """What has ended is never asked for anything, and what an action leads to is where it is done."""
    try:
        due = is_due(action, stage)
    except ConflictError:
        return
    assert not (due and stage in {Stage.FINISHED, Stage.CANCELLED, Stage.FAILED})
    assert due or AFTER[action].value in {Status.ACTIVE.value, stage.value}


def test_what_is_impossible_says_what_is_not() -> None:
    with pytest.raises(ConflictError, match="is finished, so pause is not possible; clone is"):
        is_due(Action.PAUSE, Stage.FINISHED)
    with pytest.raises(ConflictError, match="is draft, so resume is not possible; start or cancel is"):
        is_due(Action.RESUME, Stage.DRAFT)
