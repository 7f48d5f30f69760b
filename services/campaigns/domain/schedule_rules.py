"""Scheduling rules: automatic state transitions of campaigns (start, wait for a window, continue, expire).

The scheduler checks a campaign at its next check time and after every action of a user. A transition follows
from the current state and the time only, so that an extra check changes nothing.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.campaigns.domain.lifecycle import CampaignState, MissedStartPolicy, RequestedState

if TYPE_CHECKING:
    from services.campaigns.domain.send_windows import SendWindow

START_TOLERANCE = dt.timedelta(minutes=5)
"""A start delayed by more than this counts as missed."""
_FINAL_STATES = frozenset({CampaignState.FINISHED, CampaignState.CANCELLED, CampaignState.FAILED})


@dataclass(frozen=True)
class Schedule:
    """Schedule of a campaign.

    Attributes:
        start_at: start time; None for a manual start.
        missed_start_policy: action after a missed start.
        window: times at which the campaign may send; None for always.
        expires_at: time after which no message is sent; None for no limit.
    """

    start_at: dt.datetime | None = None
    missed_start_policy: MissedStartPolicy = MissedStartPolicy.START_LATE
    window: SendWindow | None = None
    expires_at: dt.datetime | None = None

    def validation_errors(self) -> list[str]:
        """Return all validation errors."""
        errors = self.window.validation_errors() if self.window else []
        if self.start_at and self.expires_at and self.expires_at <= self.start_at:
            errors.append("the campaign expires before it starts")
        return errors


@dataclass(frozen=True)
class ScheduledTransition:
    """Automatic state transition of a campaign.

    Attributes:
        requested_state: the state to store.
        next_check_at: next check by the scheduler; None for never.
        window_closes_at: end of the current send window.
        reason: reason for the change of state, shown to users.
    """

    requested_state: RequestedState
    next_check_at: dt.datetime | None
    window_closes_at: dt.datetime | None = None
    reason: str | None = None


def next_transition(
    requested_state: RequestedState,
    state: CampaignState,
    window_closes_at: dt.datetime | None,
    schedule: Schedule,
    now: dt.datetime,
) -> ScheduledTransition:
    """Return the transition of a campaign that is due now.

    Args:
        requested_state: the stored state.
        state: the effective state.
        window_closes_at: end of the current send window, if the campaign sends in one.
        schedule: schedule of the campaign.
        now: current time.

    Returns:
        The transition; it keeps the requested state when nothing is due.
    """
    if state in _FINAL_STATES or state is CampaignState.DRAFT:
        return ScheduledTransition(requested_state, None, window_closes_at)
    if schedule.expires_at and schedule.expires_at <= now:
        reason = f"expired at {_format_time(schedule.expires_at)}"
        return ScheduledTransition(RequestedState.CANCELLED, None, reason=reason)
    if requested_state is RequestedState.SCHEDULED:
        return _start_when_due(schedule, now)
    is_active = requested_state is RequestedState.ACTIVE
    window_closed = is_active and window_closes_at is not None and window_closes_at <= now
    if requested_state is RequestedState.WAITING or window_closed:
        return _start_or_wait(schedule, now)
    window_closes_at = window_closes_at if is_active else None
    next_check_at = _earliest(window_closes_at, schedule.expires_at)
    return ScheduledTransition(requested_state, next_check_at, window_closes_at)


def _start_when_due(schedule: Schedule, now: dt.datetime) -> ScheduledTransition:
    if schedule.start_at is None or schedule.start_at > now:
        next_check_at = _earliest(schedule.start_at, schedule.expires_at)
        return ScheduledTransition(RequestedState.SCHEDULED, next_check_at)
    delay, policy = now - schedule.start_at, schedule.missed_start_policy
    if delay <= START_TOLERANCE or policy is MissedStartPolicy.START_LATE:
        return _start_or_wait(schedule, now)
    state = RequestedState.CANCELLED if policy is MissedStartPolicy.CANCEL else RequestedState.DRAFT
    reason = f"start at {_format_time(schedule.start_at)} missed by {delay.total_seconds():.0f} s"
    return ScheduledTransition(state, None, reason=reason)


def _start_or_wait(schedule: Schedule, now: dt.datetime) -> ScheduledTransition:
    """Activate the campaign, or make it wait for its send window."""
    if schedule.window is None:
        return ScheduledTransition(RequestedState.ACTIVE, schedule.expires_at)
    window = schedule.window.state_at(now)
    next_check_at = _earliest(window.until, schedule.expires_at)
    if window.is_open:
        return ScheduledTransition(RequestedState.ACTIVE, next_check_at, window.until)
    return ScheduledTransition(RequestedState.WAITING, next_check_at)


def _earliest(*times: dt.datetime | None) -> dt.datetime | None:
    return min((time for time in times if time is not None), default=None)


def _format_time(time: dt.datetime) -> str:
    return time.isoformat(timespec="seconds")
