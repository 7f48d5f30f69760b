"""Comparison of two runs of a scenario. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadtests.results import PERCENTILES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtests.results import LoadReport


JUDGED_PERCENTILES = (50.0, 90.0, 99.0)


@dataclass(frozen=True)
class Difference:
    """A figure of two runs.

    Attributes:
        name: name of the figure.
        unit: unit of both values; may be empty.
        before: value of the earlier run; None if it did not measure the figure.
        after: value of the later run; None likewise.
    """

    name: str
    unit: str
    before: float | None
    after: float | None

    @property
    def change_percent(self) -> float | None:
        """Change from the earlier to the later value; None if either is absent or the earlier is 0."""
        if self.before is None or self.after is None or self.before == 0:
            return None
        return 100 * (self.after - self.before) / self.before


def is_comparable(before: LoadReport, after: LoadReport) -> bool:
    """Return whether two runs offered the same load under the same conditions; seeds may differ.

    Args:
        before: the earlier run.
        after: the later run.
    """
    first, second = (
        (
            *(report.scenario, report.environment, report.experiment, report.in_cluster),
            report.profile.model_copy(update={"seed": 0}),
        )
        for report in (before, after)
    )
    return first == second


def compare(before: LoadReport, after: LoadReport) -> list[Difference]:
    """Return the figures of two runs beside each other.

    Args:
        before: the earlier run.
        after: the later run.
    """
    values_before, values_after = dict(_figures(before)), dict(_figures(after))
    return [
        Difference(*key, values_before.get(key), values_after.get(key))
        for key in dict.fromkeys([*values_before, *values_after])
    ]


def _figures(report: LoadReport) -> Iterator[tuple[tuple[str, str], float]]:
    """Yield name, unit and value of each figure of a run."""
    requests = report.requests
    for name in ("offered", "accepted", "failed", "dropped", "unresolved"):
        yield (f"requests {name}", ""), getattr(requests, name)
    for name, latency in report.latencies.items():
        for percentile, seconds in zip(PERCENTILES, latency.percentiles or (), strict=False):
            yield (f"{name}, p{percentile:g}", "s"), seconds
    if messages := report.messages:
        for name in ("planned", "received", "lost", "duplicated", "uncertain"):
            yield (f"messages {name}", ""), getattr(messages, name)
        yield ("messages per second", ""), messages.per_second
        yield ("duration", "s"), messages.duration_seconds
        yield ("fairness", ""), messages.fairness
    if report.webhooks:
        yield ("drain of webhooks", "s"), report.webhooks.drain_seconds
    if report.host_cpu:
        yield ("host CPU used", "cores"), report.host_cpu.used
    if report.resource_usage:
        yield ("CPU of all pods", "cores"), sum(usage.cores for usage in report.resource_usage.values())


def find_regressions(differences: list[Difference], max_increase_percent: float) -> list[Difference]:
    """Return the latencies that have increased by more than a threshold.

    The percentiles above the 99th are not judged: a handful of requests determines them.

    Args:
        differences: figures of two runs.
        max_increase_percent: tolerated increase.
    """
    judged = tuple(f", p{percentile:g}" for percentile in JUDGED_PERCENTILES)
    return [
        difference
        for difference in differences
        if difference.name.endswith(judged) and (difference.change_percent or 0.0) > max_increase_percent
    ]
