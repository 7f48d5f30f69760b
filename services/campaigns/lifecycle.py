"""The life of a campaign: what is asked of it, where it is, and what may be asked next.

What was last asked is stored (`Status`); where the campaign is (`Stage`) follows from that, from its plan and
from its messages, so that the two can never disagree. Each resumption begins a new run: messages are
requested under a run, and a halt takes back a run and those before it, in whatever order the two arrive.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from services.campaigns.domain import OPEN
from services.kit.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.campaigns.domain import State


class Status(StrEnum):
    """What was last asked of a campaign, or became of it by itself. Stored."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    WAITING = "waiting"
    ACTIVE = "active"
    PAUSED = "paused"
    CANCELLED = "cancelled"


class Stage(StrEnum):
    """Where a campaign is."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    WAITING = "waiting"
    PLANNING = "planning"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Action(StrEnum):
    """What can be asked of a campaign that is there."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


class Missed(StrEnum):
    """What becomes of a campaign whose time passed while nothing could start it."""

    LATE = "late"
    """It starts late."""
    SKIP = "skip"
    """It is cancelled."""
    ASK = "ask"
    """It is a draft again, and somebody decides."""


NOT_BEGUN = frozenset({Stage.DRAFT, Stage.SCHEDULED})
_UNDER_WAY = frozenset({Stage.WAITING, Stage.PLANNING, Stage.RUNNING})
_BEFORE = {
    Action.START: NOT_BEGUN,
    Action.PAUSE: _UNDER_WAY,
    Action.RESUME: frozenset({Stage.PAUSED}),
    Action.CANCEL: _UNDER_WAY | NOT_BEGUN | {Stage.PAUSED},
}
_DONE = {
    Action.START: _UNDER_WAY | {Stage.FINISHED},
    Action.PAUSE: frozenset({Stage.PAUSED}),
    Action.RESUME: _UNDER_WAY,
    Action.CANCEL: frozenset({Stage.CANCELLED}),
}
AFTER = {
    Action.START: Status.ACTIVE,
    Action.PAUSE: Status.PAUSED,
    Action.RESUME: Status.ACTIVE,
    Action.CANCEL: Status.CANCELLED,
}
"""What is stored once an action was taken."""


def is_due(action: Action, stage: Stage) -> bool:
    """Tell whether an action is still to be taken; False when a campaign is already where it leads.

    Raises:
        ConflictError: a campaign at this stage cannot be asked for it.
    """
    if stage in _BEFORE[action]:
        return True
    if stage in _DONE[action]:
        return False
    possible = [other.value for other in Action if stage in _BEFORE[other]] or ["clone"]
    raise ConflictError(
        f"the campaign is {stage.value}, so {action.value} is not possible; {' or '.join(possible)} is"
    )


def stage_of(status: Status, planned: bool, failure: str | None, counts: Mapping[State, int]) -> Stage:  # noqa: FBT001 - a fact
    """Return where a campaign is, from what was asked, its plan and its messages."""
    if status is not Status.ACTIVE:
        return Stage(status.value)
    if failure is not None:
        return Stage.FAILED
    if not planned:
        return Stage.PLANNING
    return Stage.RUNNING if any(counts.get(state, 0) for state in OPEN) else Stage.FINISHED
