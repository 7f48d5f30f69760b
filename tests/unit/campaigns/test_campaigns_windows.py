"""Windows of the week, held against clocks that change."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.campaigns.windows import Window

WORKDAYS = frozenset(range(5))
EVERY_DAY = frozenset(range(7))
BRAZIL = "America/Sao_Paulo"
MINUTE = dt.timedelta(minutes=1)


def utc(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=dt.UTC)  # type: ignore[misc,arg-type]  # year, month, day, hour, minute


@pytest.mark.parametrize(
    ("now", "is_open", "until"),
    [
        # Wednesday 2026-03-04; Sao Paulo is three hours behind
        (utc(2026, 3, 4, 11, 59), False, utc(2026, 3, 4, 12)),
        (utc(2026, 3, 4, 12), True, utc(2026, 3, 4, 21)),
        (utc(2026, 3, 4, 20, 59), True, utc(2026, 3, 4, 21)),
        (utc(2026, 3, 4, 21), False, utc(2026, 3, 5, 12)),
        # Friday evening waits for Monday
        (utc(2026, 3, 6, 21), False, utc(2026, 3, 9, 12)),
    ],
)
def test_working_hours(*, now: dt.datetime, is_open: bool, until: dt.datetime) -> None:
    opening = Window(BRAZIL, WORKDAYS, dt.time(9), dt.time(18)).at(now)
    assert (opening.is_open, opening.until) == (is_open, until)


def test_a_window_over_midnight_belongs_to_the_day_it_begins_on() -> None:
    friday = Window("UTC", frozenset({4}), dt.time(22), dt.time(2))
    assert friday.at(utc(2026, 3, 7, 1)).until == utc(2026, 3, 7, 2)
    assert not friday.at(utc(2026, 3, 6, 1)).is_open


def test_windows_that_meet_are_one() -> None:
    always = Window("UTC", EVERY_DAY, dt.time(0), dt.time(0))
    opening = always.at(utc(2026, 3, 4, 12))
    assert opening.is_open
    assert opening.until > utc(2026, 3, 11)


@pytest.mark.parametrize(
    ("zone", "now", "until"),
    [
        # Clocks go from 2:00 to 3:00: eight hours are seven
        ("Europe/Berlin", utc(2026, 3, 29, 0, 0), utc(2026, 3, 29, 6)),
        # and from 3:00 back to 2:00: they are nine
        ("Europe/Berlin", utc(2026, 10, 25, 0, 0), utc(2026, 10, 25, 7)),
    ],
)
def test_hours_are_those_of_the_clock(zone: str, now: dt.datetime, until: dt.datetime) -> None:
    assert Window(zone, EVERY_DAY, dt.time(0), dt.time(8)).at(now).until == until


def test_all_that_is_wrong_is_said() -> None:
    problems = Window("Mars/Olympus", frozenset({7}), dt.time(9), dt.time(18)).problems()
    assert len(problems) == 2
    assert Window("../etc/passwd", WORKDAYS, dt.time(9), dt.time(18)).problems()
    assert Window(BRAZIL, WORKDAYS, dt.time(9), dt.time(18)).problems() == []


@given(
    zone=st.sampled_from([BRAZIL, "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "UTC"]),
    days=st.frozensets(st.sampled_from(range(7)), min_size=1),
    begins=st.times(),
    ends=st.times(),
    now=st.datetimes(dt.datetime(2020, 1, 1), dt.datetime(2030, 1, 1), timezones=st.just(dt.UTC)),  # noqa: DTZ001 - bounds
)
def test_what_is_told_of_a_moment_holds_until_it_changes(
    zone: str, days: frozenset[int], begins: dt.time, ends: dt.time, now: dt.datetime
) -> None:
    window = Window(zone, days, begins, ends)
    opening = window.at(now)
    assert opening.until > now
    last = opening.until - dt.timedelta(microseconds=1)
    assert window.at(max(now, last)).is_open == opening.is_open
    assert window.at(opening.until).is_open != opening.is_open or opening.until - now > dt.timedelta(days=7)
    if opening.is_open:
        local = now.astimezone(ZoneInfo(zone))
        assert {local.weekday(), (local - dt.timedelta(days=1)).weekday()} & days
