"""Recorder of request results, with latencies from the instant each request was due."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loadtests.histogram import new_histogram, record_seconds
from loadtests.protocol import CreatedCampaign, GeneratorResult, IntervalResult

if TYPE_CHECKING:
    from hdrh.histogram import HdrHistogram

_MAX_ERROR_CHARACTERS = 200
"""Longer error messages are cut; this is enough to distinguish them."""
_MAX_ERRORS = 50
"""Maximum number of different errors per request name; further ones are counted together."""


@dataclass
class _Interval:
    """Outcomes of one interval, and the latencies of its accepted requests."""

    counts: IntervalResult = field(default_factory=IntervalResult)
    histogram: HdrHistogram = field(default_factory=new_histogram)

    def result(self) -> IntervalResult:
        """Return the interval with its encoded latencies."""
        encoded = self.histogram.encode().decode() if self.counts.accepted else ""
        return self.counts.model_copy(update={"latencies": encoded})


class Recorder:
    """Records the outcome of each arrival of one generator: accepted, failed, dropped or unresolved.

    Args:
        start: start of the load profile, on the clock of all instants passed later, seconds.
        interval_seconds: length of an interval of the results over time.
    """

    def __init__(self, start: float, interval_seconds: int = 1) -> None:
        self._start = start
        self._interval_seconds = interval_seconds
        self._histograms: defaultdict[str, HdrHistogram] = defaultdict(new_histogram)
        self._errors: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._failed: Counter[str] = Counter()
        self._generator_errors: Counter[str] = Counter()
        self._intervals: defaultdict[int, _Interval] = defaultdict(_Interval)
        self.done = 0
        self.counts = GeneratorResult()

    @property
    def failed(self) -> int:
        """Number of failed requests."""
        return self._failed.total()

    def record_due(self, due_at: float) -> None:
        """Record an arrival that is due."""
        self.counts.arrivals += 1
        self._interval(due_at).counts.due += 1

    def record_dropped(self, due_at: float) -> None:
        """Record an arrival that does not start."""
        self.counts.dropped += 1
        self._interval(due_at).counts.dropped += 1

    def record_unresolved(self, due_at: float) -> None:
        """Record an arrival that ends without any result."""
        self.counts.unresolved += 1
        self._interval(due_at).counts.unresolved += 1

    def record_generator_error(self, error: str) -> None:
        """Record an error of the generator itself: it says nothing about the platform."""
        _count_error(self._generator_errors, error)

    def record_request(self, name: str, due_at: float, ended_at: float, error: str | None) -> None:
        """Record a finished request.

        Args:
            name: name of the request.
            due_at: instant at which its arrival was due, seconds.
            ended_at: instant at which it ended, seconds.
            error: error message; None if it succeeded.
        """
        self.done += 1
        interval = self._interval(due_at)
        if error is not None:
            _count_error(self._errors[name], error)
            self._failed[name] += 1
            interval.counts.failed += 1
            return
        seconds = max(0.0, ended_at - due_at)
        record_seconds(self._histograms[name], seconds)
        record_seconds(interval.histogram, seconds)
        interval.counts.accepted += 1
        self._interval(ended_at).counts.completed += 1

    def record_start(self, delay_seconds: float, *, is_late: bool) -> None:
        """Record the start of an arrival.

        Args:
            delay_seconds: time between its due instant and its start.
            is_late: whether the delay is above the limit.
        """
        self.counts.late += is_late
        self.counts.max_late_seconds = max(self.counts.max_late_seconds, delay_seconds)

    def record_campaign(self, company: str, campaign: str, due_at: float) -> None:
        """Record an accepted campaign.

        Args:
            company: company of the campaign.
            campaign: id of the campaign.
            due_at: instant at which its creation was due, seconds.
        """
        self.counts.created.append(CreatedCampaign(company=company, id=campaign, due_at=due_at))

    def result(self, ended_at: float) -> GeneratorResult:
        """Return the complete result.

        Args:
            ended_at: instant at which nothing was waited for any more, seconds.
        """
        return self.counts.model_copy(
            update={
                "histograms": {
                    name: histogram.encode().decode() for name, histogram in self._histograms.items()
                },
                "failed": dict(self._failed),
                "errors": {name: dict(counts) for name, counts in self._errors.items()},
                "generator_errors": dict(self._generator_errors),
                "intervals": {number: interval.result() for number, interval in self._intervals.items()},
                "horizon_seconds": ended_at - self._start,
            }
        )

    def _interval(self, at: float) -> _Interval:
        return self._intervals[int((at - self._start) / self._interval_seconds)]


def _count_error(errors: Counter[str], error: str) -> None:
    """Count an error by its message."""
    text = error[:_MAX_ERROR_CHARACTERS]
    errors[text if text in errors or len(errors) < _MAX_ERRORS else "others"] += 1
