"""When campaigns do something by themselves: start, wait for a window, go on, end.

A campaign is looked at when its next time comes and after whatever was asked of it; what is to be done then
follows from where it is, so that a look too many changes nothing.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.campaigns.lifecycle import Missed, Stage, Status

if TYPE_CHECKING:
    from services.campaigns.windows import Window

GRACE = dt.timedelta(minutes=5)
"""A start later than this after its time has been missed."""
_ENDED = frozenset({Stage.FINISHED, Stage.CANCELLED, Stage.FAILED})


@dataclass(frozen=True)
class Times:
    """What a campaign has to do with time.

    Attributes:
        start_at: when it starts; None when somebody starts it.
        missed: what becomes of it when nothing could start it then.
        window: when it may send; None for always.
        expires_at: what is not begun by then never is.
    """

    start_at: dt.datetime | None = None
    missed: Missed = Missed.LATE
    window: Window | None = None
    expires_at: dt.datetime | None = None

    def problems(self) -> list[str]:
        """Return all that is wrong with them."""
        found = self.window.problems() if self.window else []
        if self.start_at and self.expires_at and self.expires_at <= self.start_at:
            found.append("it expires before it starts")
        return found


@dataclass(frozen=True)
class Turn:
    """What becomes of a campaign by itself.

    Attributes:
        status: what is asked of it from now on.
        next_at: when it is to be looked at again; None for never.
        closes_at: end of the window that it sends in.
        note: a word for people.
    """

    status: Status
    next_at: dt.datetime | None
    closes_at: dt.datetime | None = None
    note: str | None = None


def turn(status: Status, stage: Stage, closes_at: dt.datetime | None, times: Times, now: dt.datetime) -> Turn:
    """Return what becomes of a campaign now.

    Args:
        status: what was last asked of it.
        stage: where it is.
        closes_at: end of the window that it sends in, if it does.
        times: what it has to do with time.
        now: the time.
    """
    if stage in _ENDED or stage is Stage.DRAFT:
        return Turn(status, None, closes_at)
    if times.expires_at and times.expires_at <= now:
        return Turn(Status.CANCELLED, None, note=f"it expired at {_written(times.expires_at)}")
    if status is Status.SCHEDULED:
        return _scheduled(times, now)
    if status is Status.WAITING or (closes_at is not None and closes_at <= now and status is Status.ACTIVE):
        return _admitted(times, now)
    closes_at = closes_at if status is Status.ACTIVE else None
    return Turn(status, _first(closes_at, times.expires_at), closes_at)


def _scheduled(times: Times, now: dt.datetime) -> Turn:
    if times.start_at is None or times.start_at > now:
        return Turn(Status.SCHEDULED, _first(times.start_at, times.expires_at))
    late = now - times.start_at
    if late <= GRACE or times.missed is Missed.LATE:
        return _admitted(times, now)
    note = f"its start at {_written(times.start_at)} was missed by {late.total_seconds():.0f} s"
    return Turn(Status.CANCELLED if times.missed is Missed.SKIP else Status.DRAFT, None, note=note)


def _admitted(times: Times, now: dt.datetime) -> Turn:
    """Let it send, or wait for its window."""
    if times.window is None:
        return Turn(Status.ACTIVE, times.expires_at)
    opening = times.window.at(now)
    next_at = _first(opening.until, times.expires_at)
    if opening.is_open:
        return Turn(Status.ACTIVE, next_at, opening.until)
    return Turn(Status.WAITING, next_at)


def _first(*times: dt.datetime | None) -> dt.datetime | None:
    return min((time for time in times if time is not None), default=None)


def _written(time: dt.datetime) -> str:
    return time.isoformat(timespec="seconds")
