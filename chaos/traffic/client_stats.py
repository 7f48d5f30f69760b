"""Statistics of a stream: unavailability, latencies, and acknowledged against stored writes. Pure."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from infra.measurements.slo_evaluation import MAX_LATE_FRACTION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

IN_TIME_SECONDS = 1.0
"""Latency of a success that counts as available: the limit of the latency of the API."""
MAX_OPEN_GAP_SECONDS = 1.0
"""A longer time without acknowledgement at the end of the traffic is an outage without an end."""


class StreamStats(BaseModel):
    """Statistics of a stream. Times are seconds on the monotonic clock of the host.

    Attributes:
        started_at: start of the stream.
        acked: acknowledged attempts.
        failed: attempts that failed or whose outcome is unknown.
        dropped: attempts that were not started because too many were open.
        late: attempts that started late.
        corrupt: failed reads that returned another content than was written.
        stale: failed reads that returned an older version than one acknowledged before they started.
        error_ratio: failed and dropped attempts, divided by all; None if there was no attempt.
        unavailable_seconds: total of the seconds in which fewer than half of the due attempts succeeded
            within `IN_TIME_SECONDS`.
        max_unavailability_seconds: longest time without an acknowledgement.
        unavailable_from: start of that time.
        unavailable_until_end: whether that time ended with the traffic: it lasted at least as long.
        latency_median: latency of acknowledged attempts, from their planned time; None without any.
        latency_p99: 99th percentile of these latencies.
        latency_max: maximum of these latencies.
        errors: number of failures by error message.
        lost: acknowledged writes that are not stored; None if the stored writes are not known.
        duplicated: writes that are stored more than once; None likewise.
        reordered: writes that are stored before one that was acknowledged before they started; None likewise.
        series: acknowledgements and maximum latency per second since the start.
        due: attempts due in each whole second since the start.
    """

    model_config = ConfigDict(frozen=True)

    started_at: float
    acked: int
    failed: int
    dropped: int
    late: int
    corrupt: int = 0
    stale: int = 0
    error_ratio: float | None
    unavailable_seconds: int
    max_unavailability_seconds: float
    unavailable_from: float
    unavailable_until_end: bool = False
    latency_median: float | None
    latency_p99: float | None
    latency_max: float | None
    errors: dict[str, int]
    lost: int | None = None
    duplicated: int | None = None
    reordered: int | None = None
    series: tuple[tuple[int, float], ...] = ()
    due: tuple[int, ...] = ()

    @property
    def generator_lagged(self) -> bool:
        """Whether so many attempts started late that the planned times were not met."""
        attempts = self.acked + self.failed + self.dropped
        return attempts > 0 and self.late / attempts > MAX_LATE_FRACTION


def longest_gap(started_at: float, acked_at: Sequence[float], ended_at: float) -> tuple[float, float]:
    """Return the longest time without an acknowledgement, and its start.

    The times before the first and after the last acknowledgement count as well: an outage without recovery
    lasts until the end.

    Args:
        started_at: start of the stream.
        acked_at: times of the acknowledgements, sorted.
        ended_at: end of the stream.
    """
    edges = [started_at, *acked_at, ended_at]
    gaps = [(after - before, before) for before, after in pairwise(edges)]
    return max(gaps, key=lambda gap: gap[0])


def unavailable_seconds(due: Sequence[int], in_time: Sequence[int]) -> int:
    """Return the number of seconds in which fewer than half of the due attempts succeeded in time.

    The longest gap sees neither several short outages nor one in which a few attempts succeed. Availability
    by requests is that of the Google SRE book, chapter 3; a threshold per interval is how providers define
    downtime, e.g. the SLA of Google Cloud Storage.

    Args:
        due: attempts due in each second.
        in_time: those of them that were acknowledged within `IN_TIME_SECONDS`. A client that repeats its
            write until an outage is over was unavailable during the outage.
    """
    return sum(2 * successes < attempts for attempts, successes in zip(due, in_time, strict=True))


def _in_time(started_at: float, seconds: int, acked: Sequence[tuple[int, float, float]]) -> list[int]:
    """Return the number of attempts due in each whole second that were acknowledged in time."""
    counts = [0] * seconds
    for _, planned, acked_at in acked:
        second = int(round(planned - started_at, 6))
        if 0 <= second < seconds and acked_at - planned <= IN_TIME_SECONDS:
            counts[second] += 1
    return counts


def percentile(sorted_values: Sequence[float], fraction: float) -> float | None:
    """Return a percentile (nearest rank) in milliseconds' precision; None if there are no values.

    Args:
        sorted_values: values in ascending order.
        fraction: fraction of the values, for example 0.99.
    """
    if not sorted_values:
        return None
    return round(sorted_values[min(len(sorted_values) - 1, int(fraction * len(sorted_values)))], 4)


def compute_stats(
    log: Mapping[str, Any], ended_at: float, stored: Sequence[int] | None = None
) -> StreamStats:
    """Return the statistics of a stream.

    Args:
        log: log of the stream from the traffic process.
        ended_at: time at which the traffic was stopped.
        stored: stored sequence numbers, in storage order; None for a stream that writes nothing.
    """
    acked = [(int(number), float(planned), float(done)) for number, planned, done in log["acked"]]
    started_at, failed, dropped = float(log["started_at"]), int(log["failed"]), int(log["dropped"])
    acked_at = sorted(done for _, _, done in acked)
    longest, unavailable_from = longest_gap(
        started_at, [at for at in acked_at if started_at < at < ended_at], max(ended_at, started_at)
    )
    lost, duplicated, reordered = (None, None, None) if stored is None else compare(acked, stored)
    due = _due(started_at, ended_at, log["period"])
    attempts = len(acked) + failed + dropped
    return StreamStats(
        started_at=started_at,
        acked=len(acked),
        failed=failed,
        dropped=dropped,
        late=int(log["late"]),
        corrupt=int(log["corrupt"]),
        stale=int(log["stale"]),
        error_ratio=round((failed + dropped) / attempts, 4) if attempts and log["period"] else None,
        unavailable_seconds=unavailable_seconds(due, _in_time(started_at, len(due), acked)),
        max_unavailability_seconds=round(longest, 3),
        unavailable_from=unavailable_from,
        unavailable_until_end=longest > MAX_OPEN_GAP_SECONDS and unavailable_from + longest >= ended_at,
        **_latencies(acked),
        errors=dict(log["errors"]),
        lost=lost,
        duplicated=duplicated,
        reordered=reordered,
        series=_series(started_at, ended_at, acked),
        due=tuple(due),
    )


def _latencies(acked: Sequence[tuple[int, float, float]]) -> dict[str, float | None]:
    """Return the latencies of acknowledged attempts, from their planned times."""
    latencies = sorted(done - planned for _, planned, done in acked)
    fractions = {"latency_median": 0.5, "latency_p99": 0.99, "latency_max": 1.0}
    return {name: percentile(latencies, fraction) for name, fraction in fractions.items()}


def _due(started_at: float, ended_at: float, period: float | None) -> list[int]:
    """Return the number of attempts due in each whole second; without own attempts, one is due."""
    seconds = int(ended_at - started_at)
    if period is None:
        return [1] * seconds
    due = [0] * seconds
    for number in range(int(seconds / period)):
        due[min(int(number * period), seconds - 1)] += 1
    return due


def compare(acked: Sequence[tuple[int, float, float]], stored: Sequence[int]) -> tuple[int, int, int]:
    """Compare acknowledged with stored writes.

    Args:
        acked: sequence number, planned time and acknowledgement time of each write.
        stored: stored sequence numbers, in storage order.

    Returns:
        Numbers of lost, duplicated and reordered writes.
    """
    positions: dict[int, int] = {}
    for position, number in enumerate(stored):
        positions.setdefault(number, position)
    lost = sum(number not in positions for number, _, _ in acked)
    return lost, len(stored) - len(positions), _count_reordered(acked, positions)


def _count_reordered(acked: Sequence[tuple[int, float, float]], positions: Mapping[int, int]) -> int:
    """Count writes that are stored before a write that was acknowledged before their planned time."""
    by_planned = sorted(
        (planned, acked_at, positions[number]) for number, planned, acked_at in acked if number in positions
    )
    by_acked = sorted(by_planned, key=lambda write: write[1])
    count, last_position, index = 0, -1, 0
    for planned, _, position in by_planned:
        while index < len(by_acked) and by_acked[index][1] < planned:
            last_position = max(last_position, by_acked[index][2])
            index += 1
        count += position < last_position
    return count


def _series(
    started_at: float, ended_at: float, acked: Sequence[tuple[int, float, float]]
) -> tuple[tuple[int, float], ...]:
    seconds = max(1, int(ended_at - started_at) + 1)
    counts, slowest = [0] * seconds, [0.0] * seconds
    for _, planned, acked_at in acked:
        second = int(acked_at - started_at)
        if 0 <= second < seconds:
            counts[second] += 1
            slowest[second] = max(slowest[second], round(acked_at - planned, 3))
    return tuple(zip(counts, slowest, strict=True))
