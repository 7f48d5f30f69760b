"""Weekly send windows in local time.

Days and hours are local to a time zone: 9:00 remains 9:00 across daylight saving changes. A skipped hour is
read as if the clocks had not changed (PEP 495); of a repeated hour the first one counts.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS_PER_WEEK = 7


@dataclass(frozen=True)
class WindowState:
    """State of a send window at a point in time.

    Attributes:
        is_open: whether sending is allowed.
        until: time at which that changes.
    """

    is_open: bool
    until: dt.datetime


@dataclass(frozen=True)
class SendWindow:
    """A time span on some days of the week.

    Attributes:
        time_zone: IANA name, e.g. `America/Sao_Paulo`.
        days: days of the week, at least one; 0 is Monday.
        starts: local time.
        ends: local time, on the next day when it is not after `starts`.
    """

    time_zone: str
    days: frozenset[int]
    starts: dt.time
    ends: dt.time

    def validation_errors(self) -> list[str]:
        """Return all validation errors."""
        errors = []
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError):
            errors.append(f"unknown time zone {self.time_zone!r}; use an IANA name such as America/Sao_Paulo")
        if not self.days or not self.days <= set(range(DAYS_PER_WEEK)):
            errors.append(
                "a window needs at least one day, and days are numbered from 0 (Monday) to 6 (Sunday)"
            )
        return errors

    def state_at(self, now: dt.datetime) -> WindowState:
        """Return whether the window is open at `now`, and until when. Adjacent windows count as one."""
        spans = self._spans(now)
        start, end = next(span for span in spans if span[1] > now)
        if start > now:
            return WindowState(is_open=False, until=start)
        for next_start, next_end in spans:
            if next_start <= end:
                end = max(end, next_end)
        return WindowState(is_open=True, until=end)

    def _spans(self, now: dt.datetime) -> list[tuple[dt.datetime, dt.datetime]]:
        """Return the windows from the day before to a week later, in UTC and in order."""
        time_zone = ZoneInfo(self.time_zone)
        today = now.astimezone(time_zone).date()
        days = [today + dt.timedelta(days=offset) for offset in range(-1, DAYS_PER_WEEK + 2)]
        spans = [self._span(day, time_zone) for day in days if day.weekday() in self.days]
        return [span for span in spans if span[0] < span[1]]

    def _span(self, day: dt.date, time_zone: ZoneInfo) -> tuple[dt.datetime, dt.datetime]:
        last_day = day if self.starts < self.ends else day + dt.timedelta(days=1)
        start, end = (
            dt.datetime.combine(date, time, time_zone).astimezone(dt.UTC)
            for date, time in ((day, self.starts), (last_day, self.ends))
        )
        return start, end
