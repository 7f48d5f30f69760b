"""Charts over time as SVG without scripts: geometry of lines, bars, axes and marks. Pure.

A chart is readable without colours (dash patterns, hatches, numbered marks) and without eyes: it describes
itself in words, and the template prints its values as a table.
"""

from __future__ import annotations

import datetime as dt
import math
import statistics
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LEFT, RIGHT, TOP, BOTTOM = 70, 20, 26, 24
"""Margins in pixels: for the labels of the vertical axis, the last tick, the marks and the time axis."""
WIDTH, HEIGHT = 870, 150
"""Size of the plot in pixels."""
MAX_SERIES = 6
"""Series that can be told apart in one chart."""
_TIME_STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400)
_MAX_TIME_TICKS = 12
_VALUE_TICKS = 4
_LOWEST_LOGARITHMIC = 0.001


@dataclass(frozen=True)
class Series:
    """Values over time.

    Attributes:
        name: name in the legend.
        values: one value per interval; None where there is none.
    """

    name: str
    values: Sequence[float | None]

    @property
    def known(self) -> list[float]:
        """The values that exist."""
        return [value for value in self.values if value is not None]

    @property
    def total(self) -> float:
        """Sum of all values."""
        return sum(self.known)


@dataclass(frozen=True)
class Mark:
    """A moment on the time axis.

    Attributes:
        at_seconds: seconds since the start of the axis.
        description: description, for example `node-death of zone-b`.
        is_injection: whether a fault begins; otherwise one ends.
    """

    at_seconds: float
    description: str
    is_injection: bool


@dataclass(frozen=True)
class TimeAxis:
    """The time axis that the charts of a page share.

    Attributes:
        seconds: its length.
        marks: moments that every chart shows, in order.
        left: horizontal position of its start.
        width: its width.
        starts_at: time of its start; None for an axis of seconds since the start.
    """

    seconds: float
    marks: tuple[Mark, ...] = ()
    left: int = LEFT
    width: int = WIDTH
    starts_at: dt.datetime | None = None

    def x(self, seconds: float) -> float:
        """Return the horizontal position of a time."""
        return round(self.left + self.width * min(max(seconds / max(self.seconds, 1e-9), 0.0), 1.0), 1)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Position and label of each tick."""
        fitting = (step for step in _TIME_STEPS if self.seconds / step <= _MAX_TIME_TICKS)
        step = next(fitting, math.ceil(self.seconds / _MAX_TIME_TICKS))
        seconds = range(self._first_tick(step), int(self.seconds) + 1, step)
        return [(self.x(second), self.label(second)) for second in seconds]

    def label(self, seconds: float) -> str:
        """Return a time as text: `600 s` since the start, or `21:50`, `21:50:05`."""
        if self.starts_at is None:
            return f"{seconds:.6g} s"
        moment = self.starts_at + dt.timedelta(seconds=seconds)
        return moment.strftime("%H:%M:%S" if moment.second else "%H:%M")

    def _first_tick(self, step: int) -> int:
        """Return the first second at which the clock shows a multiple of the step."""
        return 0 if self.starts_at is None else -int(self.starts_at.timestamp()) % step

    @property
    def placed_marks(self) -> list[tuple[float, int, Mark]]:
        """Position and number of each mark."""
        return [(self.x(mark.at_seconds), number, mark) for number, mark in enumerate(self.marks, 1)]


@dataclass(frozen=True)
class TimeChart:
    """A chart over time.

    Attributes:
        title: what it shows.
        unit: unit of all values.
        interval_seconds: length of an interval.
        series: at most `MAX_SERIES`.
        axis: the time axis.
        stacked: whether the values are bars on top of each other; otherwise they are lines.
        logarithmic: whether the vertical axis is logarithmic, for values of different magnitudes.
        start_seconds: start of the first interval on the time axis.
    """

    title: str
    unit: str
    interval_seconds: float
    series: tuple[Series, ...]
    axis: TimeAxis
    stacked: bool = False
    logarithmic: bool = False
    start_seconds: float = 0.0

    @cached_property
    def maximum(self) -> float:
        """Highest value of the vertical axis."""
        if self.stacked:
            columns = zip(*(series.values for series in self.series), strict=True)
            highest = max((sum(value or 0.0 for value in column) for column in columns), default=0.0)
        else:
            highest = max((value for series in self.series for value in series.known), default=0.0)
        if self.logarithmic:
            return 10.0 ** math.ceil(math.log10(max(highest, 10 * _LOWEST_LOGARITHMIC)))
        return highest or 1.0

    @cached_property
    def minimum(self) -> float:
        """Lowest value of the vertical axis."""
        if not self.logarithmic:
            return 0.0
        lowest = min((value for series in self.series for value in series.known), default=self.maximum / 10)
        return min(10.0 ** math.floor(math.log10(max(lowest, _LOWEST_LOGARITHMIC))), self.maximum / 10)

    @property
    def value_ticks(self) -> list[tuple[float, float]]:
        """Position and value of each tick of the vertical axis."""
        if self.logarithmic:
            decades = round(math.log10(self.maximum / self.minimum))
            values = [self.minimum * 10**decade for decade in range(decades + 1)]
        else:
            step = _nice_step(self.maximum / _VALUE_TICKS)
            values = [step * number for number in range(int(self.maximum / step + 1e-9) + 1)]
        return [(self._y(value), value) for value in values]

    @property
    def lines(self) -> list[str]:
        """Path of each series; a gap where values are missing."""
        return [self._line(series.values) for series in self.series]

    @property
    def bars(self) -> list[list[tuple[float, float, float, float]]]:
        """Rectangles of each series, as x, y, width and height; none for zero."""
        bases: list[float] = [0.0] * max((len(series.values) for series in self.series), default=0)
        rectangles: list[list[tuple[float, float, float, float]]] = []
        for series in self.series:
            rectangles.append([])
            for index, value in enumerate(series.values):
                if value:
                    rectangles[-1].append(self._bar(index, bases[index], value))
                    bases[index] += value
        return rectangles

    @property
    def description(self) -> str:
        """The chart in words."""
        summaries = [f"{series.name} {_in_words(series.known, self.unit)}" for series in self.series]
        return f"{self.title}. {'; '.join(summaries)}."

    @property
    def rows(self) -> list[tuple[float, list[float | None]]]:
        """Start of each interval and its values."""
        return [
            (self._seconds(index), list(values))
            for index, values in enumerate(zip(*(series.values for series in self.series), strict=True))
        ]

    def _seconds(self, index: float) -> float:
        return self.start_seconds + index * self.interval_seconds

    def _y(self, value: float) -> float:
        if self.logarithmic:
            decades = math.log10(self.maximum / self.minimum)
            share = math.log10(max(value, self.minimum) / self.minimum) / decades
        else:
            share = value / self.maximum
        return round(TOP + HEIGHT * (1 - share), 1)

    def _line(self, values: Sequence[float | None]) -> str:
        path, is_drawing = [], False
        for index, value in enumerate(values):
            if value is not None:
                x = self.axis.x(self._seconds(index + 0.5))
                path.append(f"{'L' if is_drawing else 'M'}{x} {self._y(value)}h0")
            is_drawing = value is not None
        return "".join(path)

    def _bar(self, index: int, base: float, value: float) -> tuple[float, float, float, float]:
        left, right = (self.axis.x(self._seconds(index + side)) for side in (0, 1))
        top, bottom = self._y(base + value), self._y(base)
        return left, top, max(round(right - left - 0.5, 1), 0.5), round(bottom - top, 1)


def _nice_step(rough: float) -> float:
    """Return the next higher step of 1, 2, 2.5 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)


def _in_words(values: Sequence[float], unit: str) -> str:
    if not values:
        return "has no values"
    return f"is at most {max(values):.4g} {unit}, median {statistics.median(values):.4g} {unit}"
