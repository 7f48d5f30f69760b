"""Arrivals of one of several generators that share a load profile. No I/O."""

from __future__ import annotations

import itertools
from random import Random
from typing import TYPE_CHECKING

from loadtests.shapes import Spacing, even_arrival_times, poisson_arrival_times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtests.protocol import LoadProfile


def shared_arrivals(profile: LoadProfile, index: int, count: int) -> Iterator[tuple[int, float]]:
    """Yield number and time of the arrivals of one generator, in seconds from the start.

    Evenly spaced arrivals are dealt out in turn. Of a Poisson process, each generator runs one of its own, at
    its share of the rate and from its own seed: together they are a Poisson process at the whole rate.

    Args:
        profile: load profile of all generators together.
        index: index of the generator; it runs the arrivals `index`, `index + count`, `index + 2 * count`, ...
        count: number of generators.
    """
    shape, seconds = profile.shape, profile.duration_seconds
    if profile.spacing is Spacing.EVEN:
        numbered = enumerate(even_arrival_times(shape, profile.rate, seconds))
        return itertools.islice(numbered, index, None, count)
    random = Random(f"{profile.seed}/{index}")  # noqa: S311 - deliberately repeatable
    times = poisson_arrival_times(shape, profile.rate / count, seconds, random)
    return zip(itertools.count(index, count), times, strict=False)
