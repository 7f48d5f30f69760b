"""Arrivals of generators that share a load profile."""

from __future__ import annotations

from itertools import pairwise
from statistics import fmean, pvariance

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.arrivals import shared_arrivals
from loadtests.protocol import LoadProfile
from loadtests.shapes import SPIKE_BASE_FRACTION, Shape, Spacing

COUNT = 3


def profile(shape: Shape = Shape.STEADY, spacing: Spacing = Spacing.POISSON, seed: int = 7) -> LoadProfile:
    return LoadProfile(shape=shape, rate=50, duration_seconds=400, spacing=spacing, seed=seed)


def all_arrivals(profile: LoadProfile, count: int = COUNT) -> list[tuple[int, float]]:
    return [arrival for index in range(count) for arrival in shared_arrivals(profile, index, count)]


def per_second(times: list[float]) -> list[int]:
    return [sum(second <= time < second + 1 for time in times) for second in range(400)]


def test_generators_together_are_a_poisson_process_at_the_whole_rate() -> None:
    times = sorted(time for _, time in all_arrivals(profile()))
    counts = per_second(times)
    # Mean and variance of the counts of a Poisson process are its rate; 400 of them estimate both.
    assert fmean(counts) == pytest.approx(50, rel=0.03)
    assert pvariance(counts) == pytest.approx(50, rel=0.25)
    gaps = [after - before for before, after in pairwise(times)]
    assert pvariance(gaps) == pytest.approx(fmean(gaps) ** 2, rel=0.1)  # exponential


def test_poisson_arrivals_follow_the_shape() -> None:
    times = [time for _, time in all_arrivals(profile(Shape.SPIKE))]
    spike = sum(180 <= time < 220 for time in times)
    assert spike == pytest.approx(40 * 50, rel=0.1)
    assert len(times) - spike == pytest.approx(360 * 50 * SPIKE_BASE_FRACTION, rel=0.1)


def test_seed_determines_arrivals_and_generators_differ() -> None:
    first = list(shared_arrivals(profile(), 0, COUNT))
    assert first == list(shared_arrivals(profile(), 0, COUNT))
    assert first != list(shared_arrivals(profile(seed=8), 0, COUNT))
    assert [time for _, time in first] != [time for _, time in shared_arrivals(profile(), 1, COUNT)]


def test_even_arrivals_are_dealt_out_in_turn() -> None:
    dealt = all_arrivals(profile(spacing=Spacing.EVEN))
    assert sorted(dealt) == list(shared_arrivals(profile(spacing=Spacing.EVEN), 0, 1))
    assert len(dealt) == 50 * 400


@given(st.sampled_from(Shape), st.sampled_from(Spacing), st.integers(1, 5))
def test_numbers_are_unique_and_times_within_the_run(shape: Shape, spacing: Spacing, count: int) -> None:
    short = LoadProfile(shape=shape, rate=20, duration_seconds=10, spacing=spacing)
    arrivals = all_arrivals(short, count)
    numbers = [number for number, _ in arrivals]
    assert len(numbers) == len(set(numbers))
    assert all(0 <= time < short.duration_seconds for _, time in arrivals)
