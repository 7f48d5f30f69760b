"""What a lane's log says: gaps, latencies, and whether what was acknowledged is there. Pure."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from infra.measurements.slo_evaluation import MAX_LATE_FRACTION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Figures(BaseModel):
    """What clients saw on one lane. Seconds, on the clock that all processes of the machine share.

    Attributes:
        acked: attempts that were acknowledged.
        failed: attempts that were not, or of which nobody knows.
        dropped: attempts that could not begin, so many were open.
        late: attempts that began late.
        gap: longest time in which nothing was acknowledged.
        gap_from: when that began.
        median: latency of acknowledged attempts from their planned instant.
        p99: the same, for 99 of 100.
        worst: the same, for all.
        errors: failures by what was said.
        lost: acknowledged writes that are not there.
        duplicated: writes that are there more than once.
        disordered: writes that stand before one that was acknowledged before they began.
        series: per second since the beginning: acknowledged, and the worst latency.
    """

    model_config = ConfigDict(frozen=True)

    acked: int
    failed: int
    dropped: int
    late: int
    gap: float
    gap_from: float
    median: float
    p99: float
    worst: float
    errors: dict[str, int]
    lost: int = 0
    duplicated: int = 0
    disordered: int = 0
    series: tuple[tuple[int, float], ...] = ()

    @property
    def generator_lagged(self) -> bool:
        """Whether so many attempts began late that the timetable was not kept."""
        attempts = self.acked + self.failed + self.dropped
        return attempts > 0 and self.late / attempts > MAX_LATE_FRACTION


def longest_gap(begun: float, instants: Sequence[float], ended: float) -> tuple[float, float]:
    """Return the longest time between two neighbours of `instants` (sorted), and when it began.

    The time up to the first and after the last counts as well: what never came back is a gap up to the end.
    """
    edges = [begun, *instants, ended]
    gaps = [(after - before, before) for before, after in pairwise(edges)]
    return max(gaps, key=lambda gap: gap[0])


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value that `share` of the values do not exceed (nearest rank); 0 for none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def figures(log: Mapping[str, Any], ended: float, history: Sequence[int] | None = None) -> Figures:
    """Return the figures of a lane.

    Args:
        log: as the traffic process told it.
        ended: when the traffic was told to stop.
        history: sequence numbers found afterwards, in order; None for a lane that writes nothing.
    """
    acked = [(int(number), float(planned), float(done)) for number, planned, done in log["acked"]]
    begun = float(log["begun"])
    instants = sorted(done for _, _, done in acked)
    gap, since = longest_gap(begun, [each for each in instants if begun < each < ended], max(ended, begun))
    latencies = sorted(done - planned for _, planned, done in acked)
    lost, duplicated, disordered = (0, 0, 0) if history is None else compare(acked, history)
    return Figures(
        acked=len(acked),
        failed=int(log["failed"]),
        dropped=int(log["dropped"]),
        late=int(log["late"]),
        gap=round(gap, 3),
        gap_from=since,
        median=round(percentile(latencies, 0.5), 4),
        p99=round(percentile(latencies, 0.99), 4),
        worst=round(latencies[-1] if latencies else 0.0, 4),
        errors=dict(log["errors"]),
        lost=lost,
        duplicated=duplicated,
        disordered=disordered,
        series=_series(begun, ended, acked),
    )


def compare(acked: Sequence[tuple[int, float, float]], history: Sequence[int]) -> tuple[int, int, int]:
    """Hold what was acknowledged against what is there: return lost, duplicated, disordered."""
    place: dict[int, int] = {}
    for position, number in enumerate(history):
        place.setdefault(number, position)
    lost = sum(number not in place for number, _, _ in acked)
    return lost, len(history) - len(place), _disordered(acked, place)


def _disordered(acked: Sequence[tuple[int, float, float]], place: Mapping[int, int]) -> int:
    """Count writes that stand before one whose acknowledgement came before they were even planned."""
    there = [(planned, done, place[number]) for number, planned, done in acked if number in place]
    by_done = sorted(there, key=lambda each: each[1])
    count, furthest, index = 0, -1, 0
    for planned, _, position in sorted(there):
        while index < len(by_done) and by_done[index][1] < planned:
            furthest = max(furthest, by_done[index][2])
            index += 1
        count += position < furthest
    return count


def _series(
    begun: float, ended: float, acked: Sequence[tuple[int, float, float]]
) -> tuple[tuple[int, float], ...]:
    seconds = max(1, int(ended - begun) + 1)
    counts, worst = [0] * seconds, [0.0] * seconds
    for _, planned, done in acked:
        second = int(done - begun)
        if 0 <= second < seconds:
            counts[second] += 1
            worst[second] = max(worst[second], round(done - planned, 3))
    return tuple(zip(counts, worst, strict=True))
