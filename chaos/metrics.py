"""Metrics of a run, by the names that experiments use. Pure.

A metric is absent, rather than zero, when the run did not measure it: without the client, without an
acknowledgement, or without a comparison of the stored writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.errors import EsqError
from infra.measurements.run_values import NOT_MEASURED, RunValue

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from chaos.traffic.client_stats import StreamStats

COUNTS = ("acked", "failed", "dropped", "late", "corrupt", "stale", "lost", "duplicated", "reordered")
"""Metrics of a stream of which the parts (partitions) are summed up."""
TIMES = (
    "max_unavailability_seconds",
    "unavailable_seconds",
    "error_ratio",
    "latency_median",
    "latency_p99",
    "latency_max",
)
"""Metrics of a stream of which the worst part counts. They measure the client rather than the platform if the
client lagged."""
DURABLE_STORES = ("edge", "kafka", "object-store", "postgres")
"""Clients of the durable stores. Data lost by Redis can be rebuilt: it is reported and violates no SLO."""


def stream_metric(streams: Mapping[str, StreamStats], name: str) -> RunValue:
    """Return a metric of a stream.

    Args:
        streams: client statistics by stream.
        name: stream and field, e.g. `kafka.write.max_unavailability_seconds`.

    Raises:
        EsqError: there is no such metric.
    """
    stream, _, field = name.rpartition(".")
    if field not in (*COUNTS, *TIMES):
        raise EsqError(
            f"there is no metric `{name}`",
            location="experiment",
            remedy=f"Name a stream and one of {', '.join((*COUNTS, *TIMES))}.",
        )
    parts = [stats for key, stats in streams.items() if key == stream or key.startswith(f"{stream}.")]
    values = [getattr(stats, field) for stats in parts]
    has_lagged = field in TIMES and any(stats.generator_lagged for stats in parts)
    if not values or None in values or has_lagged:
        return NOT_MEASURED
    if field in COUNTS:
        return RunValue(value=sum(values))
    has_no_end = field in TIMES[:2] and any(stats.unavailable_until_end for stats in parts)
    return RunValue(value=max(values), censored=has_no_end)


def lost(streams: Mapping[str, StreamStats]) -> RunValue:
    """Return the number of acknowledged writes that are missing in the durable stores, and of damaged reads.

    Damage that is repaired before the stored writes are compared was lost to those who read it.
    """
    missing = _sum_of_writers(stats.lost for stats in _writers(streams, DURABLE_STORES))
    damaged = sum(stats.corrupt for name, stats in streams.items() if name.startswith(DURABLE_STORES))
    return missing.model_copy(update={"value": (missing.value or 0) + damaged}) if damaged else missing


def duplicated(streams: Mapping[str, StreamStats]) -> RunValue:
    """Return the number of writes that are stored twice."""
    return _sum_of_writers(stats.duplicated for stats in _writers(streams, ("",)))


def _writers(streams: Mapping[str, StreamStats], prefixes: tuple[str, ...]) -> list[StreamStats]:
    return [stats for name, stats in streams.items() if ".write" in name and name.startswith(prefixes)]


def _sum_of_writers(counts: Iterable[int | None]) -> RunValue:
    """Return the sum of the counts; a lower bound if the stored writes of one are not known."""
    all_counts = list(counts)
    known = [count for count in all_counts if count is not None]
    return RunValue(value=sum(known), censored=len(known) < len(all_counts)) if known else NOT_MEASURED
