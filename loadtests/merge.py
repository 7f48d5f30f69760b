"""The generators' parts put together."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from loadtests.histogram import histogram, record
from loadtests.result import PERCENTILES, Latency, Requests, Second

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hdrh.histogram import HdrHistogram

    from loadtests.order import Told


def latency(seconds: Iterable[float], failed: int = 0) -> Latency:
    """Return the percentiles of some waits."""
    found = histogram()
    for each in seconds:
        record(found, each)
    return _latency(found, failed)


def merge(parts: Sequence[Told]) -> Requests:
    """Put together what the generators saw."""
    histograms = _histograms(parts)
    failed: Counter[str] = Counter()
    errors: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for part in parts:
        failed.update(part.failed)
        for name, kinds in part.errors.items():
            errors[name].update(kinds)
    whole = histogram()
    for each in histograms.values():
        whole.add(each)
    return Requests(
        arrivals=sum(part.arrivals for part in parts),
        late=sum(part.late for part in parts),
        worst_late=max(part.worst_late for part in parts),
        dropped=sum(part.dropped for part in parts),
        all=_latency(whole, failed.total()),
        kinds={name: _latency(each, failed[name]) for name, each in sorted(histograms.items())},
        errors={name: dict(kinds.most_common()) for name, kinds in errors.items()},
        series=_series(parts),
    )


def _histograms(parts: Sequence[Told]) -> dict[str, HdrHistogram]:
    found: defaultdict[str, HdrHistogram] = defaultdict(histogram)
    for part in parts:
        for name, encoded in part.histograms.items():
            found[name].decode_and_add(encoded)
    return found


def _series(parts: Sequence[Told]) -> tuple[Second, ...]:
    seconds: defaultdict[int, Second] = defaultdict(Second)
    for part in parts:
        for second, (good, bad, worst) in part.series.items():
            before = seconds[second]
            seconds[second] = Second(
                good=before.good + good, bad=before.bad + bad, worst=max(before.worst, worst)
            )
    return tuple(seconds[second] for second in range(max(seconds, default=-1) + 1))


def _latency(found: HdrHistogram, failed: int) -> Latency:
    percentiles = tuple(found.get_value_at_percentile(each) / 1e6 for each in PERCENTILES)
    return Latency(count=found.get_total_count(), failed=failed, percentiles=percentiles)
