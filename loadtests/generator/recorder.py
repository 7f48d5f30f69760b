"""Recorder of request results, with latencies from the instant each request was due."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from loadtests.histogram import new_histogram, record_seconds
from loadtests.protocol import CreatedCampaign, GeneratorResult

if TYPE_CHECKING:
    from hdrh.histogram import HdrHistogram

_MAX_ERROR_CHARACTERS = 200
"""Longer error messages are cut; this is enough to distinguish them."""
_MAX_ERRORS = 50
"""Maximum number of different errors per request name; further ones are counted together."""


class Recorder:
    """Records the requests of one generator.

    Args:
        start: start of the load profile, on the clock of all instants passed later, seconds.
    """

    def __init__(self, start: float) -> None:
        self._start = start
        self._histograms: defaultdict[str, HdrHistogram] = defaultdict(new_histogram)
        self._errors: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._failed: Counter[str] = Counter()
        self._series: dict[int, tuple[int, int, float]] = {}
        self.done = 0
        self.counts = GeneratorResult()

    @property
    def failed(self) -> int:
        """Number of failed requests."""
        return self._failed.total()

    def record_request(self, name: str, due_at: float, ended_at: float, error: str | None) -> None:
        """Record a finished request.

        Args:
            name: name of the request.
            due_at: instant at which its arrival was due, seconds.
            ended_at: instant at which it ended, seconds.
            error: error message; None if it succeeded.
        """
        seconds = max(0.0, ended_at - due_at)
        record_seconds(self._histograms[name], seconds)
        if error is not None:
            errors = self._errors[name]
            text = error[:_MAX_ERROR_CHARACTERS]
            errors[text if text in errors or len(errors) < _MAX_ERRORS else "others"] += 1
            self._failed[name] += 1
        second = int(due_at - self._start)
        succeeded, failed, max_seconds = self._series.get(second, (0, 0, 0.0))
        self._series[second] = (
            succeeded + (error is None),
            failed + (error is not None),
            max(max_seconds, seconds),
        )
        self.done += 1

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

    def result(self) -> GeneratorResult:
        """Return the complete result."""
        return self.counts.model_copy(
            update={
                "histograms": {
                    name: histogram.encode().decode() for name, histogram in self._histograms.items()
                },
                "failed": dict(self._failed),
                "errors": {name: dict(counts) for name, counts in self._errors.items()},
                "series": self._series,
            }
        )
