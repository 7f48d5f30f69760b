"""Life cycle of a campaign: requested state, effective state and allowed actions.

The requested state is stored (`RequestedState`). The effective state (`CampaignState`) is computed from it,
from the plan and from the messages, so that the two cannot contradict each other. Each resumption starts a
new run: messages are requested under a run, and stopping a run returns the unsent messages of this and
earlier runs, in whatever order the events arrive.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from services.campaigns.domain.model import NON_FINAL_STATES
from services.kit.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.campaigns.domain.model import MessageState


class RequestedState(StrEnum):
    """Last state requested by a user or set by the scheduler. Stored."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    WAITING = "waiting"
    ACTIVE = "active"
    PAUSED = "paused"
    CANCELLED = "cancelled"


class CampaignState(StrEnum):
    """Effective state of a campaign."""

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
    """Action of a user on an existing campaign."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


class MissedStartPolicy(StrEnum):
    """Policy for a campaign that could not be started at its time."""

    START_LATE = "start_late"
    """Start as soon as possible."""
    CANCEL = "cancel"
    """Cancel the campaign."""
    REVERT_TO_DRAFT = "revert_to_draft"
    """Return it to draft; a user decides."""


EDITABLE_STATES = frozenset({CampaignState.DRAFT, CampaignState.SCHEDULED})
_IN_PROGRESS_STATES = frozenset({CampaignState.WAITING, CampaignState.PLANNING, CampaignState.RUNNING})
_APPLICABLE_STATES = {
    Action.START: EDITABLE_STATES,
    Action.PAUSE: _IN_PROGRESS_STATES,
    Action.RESUME: frozenset({CampaignState.PAUSED}),
    Action.CANCEL: _IN_PROGRESS_STATES | EDITABLE_STATES | {CampaignState.PAUSED},
}
_ALREADY_APPLIED_STATES = {
    Action.START: _IN_PROGRESS_STATES | {CampaignState.FINISHED},
    Action.PAUSE: frozenset({CampaignState.PAUSED}),
    Action.RESUME: _IN_PROGRESS_STATES,
    Action.CANCEL: frozenset({CampaignState.CANCELLED}),
}
RESULTING_STATE = {
    Action.START: RequestedState.ACTIVE,
    Action.PAUSE: RequestedState.PAUSED,
    Action.RESUME: RequestedState.ACTIVE,
    Action.CANCEL: RequestedState.CANCELLED,
}
"""Requested state that is stored after an action."""


def is_applicable(action: Action, state: CampaignState) -> bool:
    """Return whether an action changes a campaign.

    Args:
        action: the requested action.
        state: effective state of the campaign.

    Returns:
        False when the campaign already is in the resulting state.

    Raises:
        ConflictError: the action is not allowed in this state.
    """
    if state in _APPLICABLE_STATES[action]:
        return True
    if state in _ALREADY_APPLIED_STATES[action]:
        return False
    allowed = [
        allowed_action.value for allowed_action in Action if state in _APPLICABLE_STATES[allowed_action]
    ] or ["clone"]
    raise ConflictError(
        f"the campaign is {state.value}: {action.value} is not allowed; allowed: {' or '.join(allowed)}"
    )


def effective_state(
    requested_state: RequestedState,
    planned: bool,  # noqa: FBT001 - a fact of the campaign, not a mode of the function
    failure: str | None,
    counts: Mapping[MessageState, int],
) -> CampaignState:
    """Return the effective state of a campaign.

    Args:
        requested_state: the stored state.
        planned: whether planning has ended.
        failure: reason why planning failed, if it did.
        counts: messages per state.

    Returns:
        The effective state.
    """
    if requested_state is not RequestedState.ACTIVE:
        return CampaignState(requested_state.value)
    if failure is not None:
        return CampaignState.FAILED
    if not planned:
        return CampaignState.PLANNING
    is_running = any(counts.get(state, 0) for state in NON_FINAL_STATES)
    return CampaignState.RUNNING if is_running else CampaignState.FINISHED
