"""Times of the week in which a campaign may send, in the time of its recipients.

Days and hours are those of a zone's clocks, so that 9 o'clock stays 9 o'clock when they change. An hour that
is skipped is read as if the clocks had not changed (PEP 495), one that comes twice is its first.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

WEEK = 7


@dataclass(frozen=True)
class Opening:
    """Where a moment lies.

    Attributes:
        is_open: whether it is inside a window.
        until: when that changes.
    """

    is_open: bool
    until: dt.datetime


@dataclass(frozen=True)
class Window:
    """A time of day on some days of the week.

    Attributes:
        zone: IANA name, e.g. `America/Sao_Paulo`.
        days: 0 is Monday; at least one.
        begins: local time.
        ends: local time, on the next day when it is not after `begins`.
    """

    zone: str
    days: frozenset[int]
    begins: dt.time
    ends: dt.time

    def problems(self) -> list[str]:
        """Return all that is wrong with it."""
        found = []
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError):
            found.append(f"there is no time zone {self.zone!r}; one is America/Sao_Paulo")
        if not self.days or not self.days <= set(range(WEEK)):
            found.append("a window has days, from 0 (Monday) to 6 (Sunday)")
        return found

    def at(self, now: dt.datetime) -> Opening:
        """Tell whether `now` is inside, and when that changes. Windows that meet are one."""
        spans = self._spans(now)
        begin, end = next(span for span in spans if span[1] > now)
        if begin > now:
            return Opening(is_open=False, until=begin)
        for later, closes in spans:
            if later <= end:
                end = max(end, closes)
        return Opening(is_open=True, until=end)

    def _spans(self, now: dt.datetime) -> list[tuple[dt.datetime, dt.datetime]]:
        """Return the windows from the day before to a week later, in UTC and in order."""
        zone = ZoneInfo(self.zone)
        today = now.astimezone(zone).date()
        days = [today + dt.timedelta(days=ahead) for ahead in range(-1, WEEK + 2)]
        spans = [self._span(day, zone) for day in days if day.weekday() in self.days]
        return [span for span in spans if span[0] < span[1]]

    def _span(self, day: dt.date, zone: ZoneInfo) -> tuple[dt.datetime, dt.datetime]:
        last = day if self.begins < self.ends else day + dt.timedelta(days=1)
        begin, end = (
            dt.datetime.combine(date, time, zone).astimezone(dt.UTC)
            for date, time in ((day, self.begins), (last, self.ends))
        )
        return begin, end
