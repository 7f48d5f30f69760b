"""Geometry of charts over time."""

from __future__ import annotations

import pytest

from infra.measurements.html.charts import HEIGHT, LEFT, TOP, WIDTH, Mark, Series, TimeAxis, TimeChart


def chart(*series: Series, **fields: bool) -> TimeChart:
    return TimeChart("Load", "per second", 1, series, TimeAxis(len(series[0].values)), **fields)


def test_line_has_a_gap_where_a_value_is_missing() -> None:
    (line,) = chart(Series("a", [1.0, None, 2.0, 4.0])).lines
    assert line.count("M") == 2
    assert line.count("L") == 1
    assert line.endswith(f"{LEFT + WIDTH * 3.5 / 4:.1f} {TOP:.1f}h0")


def test_bars_are_on_top_of_each_other_and_zero_has_none() -> None:
    stacked = chart(Series("a", [1.0, 0.0]), Series("b", [3.0, 2.0]), stacked=True)
    (first,), (second, third) = stacked.bars
    assert stacked.maximum == 4
    assert first[1] == pytest.approx(second[1] + second[3])
    assert (second[1], third[3]) == (TOP, HEIGHT / 2)


def test_logarithmic_axis_covers_all_values_in_decades() -> None:
    logarithmic = chart(Series("a", [0.02, 3.0]), logarithmic=True)
    assert [value for _, value in logarithmic.value_ticks] == pytest.approx([0.01, 0.1, 1, 10])


@pytest.mark.parametrize("maximum", [0.0, 0.013, 1.0, 7.0, 99.0, 12_345.0])
def test_linear_axis_has_few_ticks_within_the_plot(maximum: float) -> None:
    ticks = chart(Series("a", [maximum])).value_ticks
    assert 2 <= len(ticks) <= 6
    assert all(TOP <= y <= TOP + HEIGHT for y, _ in ticks)


def test_axis_numbers_marks_and_clamps_them_to_the_plot() -> None:
    axis = TimeAxis(10.0, (Mark(5.0, "kill", is_injection=True), Mark(99.0, "kill", is_injection=False)))
    assert [(x, number) for x, number, _ in axis.placed_marks] == [(LEFT + WIDTH / 2, 1), (LEFT + WIDTH, 2)]
    assert axis.ticks[0] == (LEFT, "0 s")
    assert len(TimeAxis(86_400.0).ticks) <= 13


def test_chart_describes_itself_in_words() -> None:
    described = chart(Series("offered", [1.0, 3.0]), Series("achieved", [None, None])).description
    assert described == (
        "Load. offered is at most 3 per second, median 2 per second; achieved has no values."
    )
