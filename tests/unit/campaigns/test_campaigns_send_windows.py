"""Weekly send windows across daylight saving changes."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.campaigns.domain.send_windows import SendWindow

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
        # after Friday evening it opens on Monday
        (utc(2026, 3, 6, 21), False, utc(2026, 3, 9, 12)),
    ],
)
def test_working_hours(*, now: dt.datetime, is_open: bool, until: dt.datetime) -> None:
    state = SendWindow(BRAZIL, WORKDAYS, dt.time(9), dt.time(18)).state_at(now)
    assert (state.is_open, state.until) == (is_open, until)


def test_window_over_midnight_belongs_to_its_first_day() -> None:
    friday = SendWindow("UTC", frozenset({4}), dt.time(22), dt.time(2))
    assert friday.state_at(utc(2026, 3, 7, 1)).until == utc(2026, 3, 7, 2)
    assert not friday.state_at(utc(2026, 3, 6, 1)).is_open


def test_adjacent_windows_are_merged() -> None:
    always = SendWindow("UTC", EVERY_DAY, dt.time(0), dt.time(0))
    state = always.state_at(utc(2026, 3, 4, 12))
    assert state.is_open
    assert state.until > utc(2026, 3, 11)


@pytest.mark.parametrize(
    ("time_zone", "now", "until"),
    [
        # Clocks go forward from 2:00 to 3:00: a window of eight hours lasts seven.
        ("Europe/Berlin", utc(2026, 3, 29, 0, 0), utc(2026, 3, 29, 6)),
        # Clocks go back from 3:00 to 2:00: it lasts nine.
        ("Europe/Berlin", utc(2026, 10, 25, 0, 0), utc(2026, 10, 25, 7)),
    ],
)
def test_window_follows_daylight_saving_time(time_zone: str, now: dt.datetime, until: dt.datetime) -> None:
    assert SendWindow(time_zone, EVERY_DAY, dt.time(0), dt.time(8)).state_at(now).until == until


def test_all_validation_errors_are_returned() -> None:
    errors = SendWindow("Mars/Olympus", frozenset({7}), dt.time(9), dt.time(18)).validation_errors()
    assert len(errors) == 2
    assert SendWindow("../etc/passwd", WORKDAYS, dt.time(9), dt.time(18)).validation_errors()
    assert SendWindow(BRAZIL, WORKDAYS, dt.time(9), dt.time(18)).validation_errors() == []


@given(
    time_zone=st.sampled_from([BRAZIL, "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "UTC"]),
    days=st.frozensets(st.sampled_from(range(7)), min_size=1),
    starts=st.times(),
    ends=st.times(),
    now=st.datetimes(dt.datetime(2020, 1, 1), dt.datetime(2030, 1, 1), timezones=st.just(dt.UTC)),  # noqa: DTZ001 - bounds
)
def test_state_is_constant_until_its_end(
    time_zone: str, days: frozenset[int], starts: dt.time, ends: dt.time, now: dt.datetime
) -> None:
    window = SendWindow(time_zone, days, starts, ends)
    state = window.state_at(now)
    assert state.until > now
    last = state.until - dt.timedelta(microseconds=1)
    assert window.state_at(max(now, last)).is_open == state.is_open
    changes = window.state_at(state.until).is_open != state.is_open
    assert changes or state.until - now > dt.timedelta(days=7)
    if state.is_open:
        local = now.astimezone(ZoneInfo(time_zone))
        assert {local.weekday(), (local - dt.timedelta(days=1)).weekday()} & days
