"""Merging of the generators' results."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from loadtests.histogram import new_histogram, record_seconds
from loadtests.results import PERCENTILES, Latency, Requests, SecondStats

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hdrh.histogram import HdrHistogram

    from loadtests.protocol import GeneratorResult


def latency_from_samples(seconds: Iterable[float], failed: int = 0) -> Latency:
    """Return the percentiles of latencies.

    Args:
        seconds: the latencies.
        failed: how many of them belong to failed requests.
    """
    histogram = new_histogram()
    for sample in seconds:
        record_seconds(histogram, sample)
    return _latency(histogram, failed)


def merge_results(results: Sequence[GeneratorResult]) -> Requests:
    """Merge the results of all generators.

    Returns:
        Counts, errors and latencies over all generators.
    """
    histograms = _histograms(results)
    failed: Counter[str] = Counter()
    errors: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for result in results:
        failed.update(result.failed)
        for name, counts in result.errors.items():
            errors[name].update(counts)
    total = new_histogram()
    for histogram in histograms.values():
        total.add(histogram)
    return Requests(
        arrivals=sum(result.arrivals for result in results),
        late=sum(result.late for result in results),
        max_late_seconds=max(result.max_late_seconds for result in results),
        dropped=sum(result.dropped for result in results),
        all=_latency(total, failed.total()),
        by_name={name: _latency(histogram, failed[name]) for name, histogram in sorted(histograms.items())},
        errors={name: dict(counts.most_common()) for name, counts in errors.items()},
        series=_series(results),
    )


def _histograms(results: Sequence[GeneratorResult]) -> dict[str, HdrHistogram]:
    merged: defaultdict[str, HdrHistogram] = defaultdict(new_histogram)
    for result in results:
        for name, encoded in result.histograms.items():
            merged[name].decode_and_add(encoded)
    return merged


def _series(results: Sequence[GeneratorResult]) -> tuple[SecondStats, ...]:
    seconds: defaultdict[int, SecondStats] = defaultdict(SecondStats)
    for result in results:
        for second, (succeeded, failed, max_seconds) in result.series.items():
            before = seconds[second]
            seconds[second] = SecondStats(
                succeeded=before.succeeded + succeeded,
                failed=before.failed + failed,
                max_seconds=max(before.max_seconds, max_seconds),
            )
    return tuple(seconds[second] for second in range(max(seconds, default=-1) + 1))


def _latency(histogram: HdrHistogram, failed: int) -> Latency:
    percentiles = tuple(histogram.get_value_at_percentile(percentile) / 1e6 for percentile in PERCENTILES)
    return Latency(count=histogram.get_total_count(), failed=failed, percentiles=percentiles)
