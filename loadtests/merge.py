"""Merging of the generators' results."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from loadtests.histogram import new_histogram, record_seconds
from loadtests.protocol import IntervalResult
from loadtests.results import PERCENTILES, IntervalStats, Latency, Requests

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hdrh.histogram import HdrHistogram

    from loadtests.protocol import GeneratorResult


def latency_from_samples(seconds: Iterable[float], failed: int = 0, horizon_seconds: float = 0.0) -> Latency:
    """Return the percentiles of latencies.

    Args:
        seconds: the latencies.
        failed: number of further ones that have no end; each counts as the horizon.
        horizon_seconds: time after which nothing was waited for any more.
    """
    histogram = new_histogram()
    for sample in seconds:
        record_seconds(histogram, sample)
    record_seconds(histogram, horizon_seconds, failed)
    return _latency(histogram, failed)


def percentiles_of_samples(seconds: Iterable[float]) -> tuple[float, ...] | None:
    """Return the exact percentiles of a few latencies (nearest rank), seconds; None if there are none."""
    ordered = sorted(seconds)
    if not ordered:
        return None
    ranks = (math.ceil(round(percentile * len(ordered) / 100, 6)) for percentile in PERCENTILES)
    return tuple(ordered[rank - 1] for rank in ranks)


def merge_results(results: Sequence[GeneratorResult], interval_seconds: int = 1) -> Requests:
    """Merge the results of all generators. A request without success counts as the horizon of the run.

    Args:
        results: result of each generator.
        interval_seconds: length of the intervals of the results.

    Returns:
        Counts, errors and latencies over all generators.
    """
    histograms = _histograms(results)
    failed = sum((Counter(result.failed) for result in results), Counter[str]())
    errors: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for result in results:
        for name, counts in result.errors.items():
            errors[name].update(counts)
    dropped, unresolved = (sum(getattr(r, field) for r in results) for field in ("dropped", "unresolved"))
    horizon = max(result.horizon_seconds for result in results)
    total, accepted = new_histogram(), 0
    for name in histograms.keys() | failed.keys():
        accepted += histograms[name].get_total_count()
        record_seconds(histograms[name], horizon, failed[name])
        total.add(histograms[name])
    record_seconds(total, horizon, dropped + unresolved)
    return Requests(
        offered=sum(result.arrivals for result in results),
        accepted=accepted,
        failed=failed.total(),
        dropped=dropped,
        unresolved=unresolved,
        late=sum(result.late for result in results),
        max_late_seconds=max(result.max_late_seconds for result in results),
        horizon_seconds=horizon,
        all=_latency(total, failed.total() + dropped + unresolved),
        by_name={name: _latency(histogram, failed[name]) for name, histogram in sorted(histograms.items())},
        errors={name: dict(counts.most_common()) for name, counts in errors.items()},
        generator_errors=dict(sum((Counter(result.generator_errors) for result in results), Counter[str]())),
        interval_seconds=interval_seconds,
        intervals=_intervals(results),
    )


def _histograms(results: Sequence[GeneratorResult]) -> defaultdict[str, HdrHistogram]:
    merged: defaultdict[str, HdrHistogram] = defaultdict(new_histogram)
    for result in results:
        for name, encoded in result.histograms.items():
            merged[name].decode_and_add(encoded)
    return merged


def _intervals(results: Sequence[GeneratorResult]) -> tuple[IntervalStats, ...]:
    last = max((number for result in results for number in result.intervals), default=-1)
    return tuple(
        _interval([result.intervals.get(number, IntervalResult()) for result in results])
        for number in range(last + 1)
    )


def _interval(results: Sequence[IntervalResult]) -> IntervalStats:
    histogram = new_histogram()
    for result in results:
        if result.latencies:
            histogram.decode_and_add(result.latencies)
    counts = {
        name: sum(getattr(result, name) for result in results)
        for name in IntervalResult.model_fields
        if name != "latencies"
    }
    return IntervalStats(**counts, percentiles=_percentiles(histogram))


def _percentiles(histogram: HdrHistogram) -> tuple[float, ...] | None:
    """Return the percentiles of a histogram, seconds; None if it is empty."""
    if not histogram.get_total_count():
        return None
    values = histogram.get_percentile_to_value_dict(PERCENTILES)
    return tuple(values[percentile] / 1e6 for percentile in PERCENTILES)


def _latency(histogram: HdrHistogram, failed: int) -> Latency:
    return Latency(
        count=histogram.get_total_count(),
        failed=failed,
        percentiles=_percentiles(histogram),
        histogram=histogram.encode().decode(),
    )
