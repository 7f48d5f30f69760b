"""What became of requests, counted as they end, from the instant each was due."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from loadtests.histogram import histogram, record
from loadtests.order import Created, Told

if TYPE_CHECKING:
    from hdrh.histogram import HdrHistogram

_SHOWN = 200
"""Characters of an error that are kept: enough to tell kinds apart."""
_KINDS = 50
"""Most different errors that are kept of a kind of request; the others are counted as one."""


class Recorder:
    """Counts one generator's requests.

    Args:
        start: of the timetable, in seconds on the clock of all instants given later.
    """

    def __init__(self, start: float) -> None:
        self._start = start
        self._histograms: defaultdict[str, HdrHistogram] = defaultdict(histogram)
        self._errors: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._failed: Counter[str] = Counter()
        self._series: dict[int, tuple[int, int, float]] = {}
        self.done = 0
        self.told = Told()

    @property
    def failed(self) -> int:
        """Requests that failed."""
        return self._failed.total()

    def request(self, name: str, planned: float, now: float, error: str | None) -> None:
        """A request that was due at `planned` has ended."""
        seconds = max(0.0, now - planned)
        record(self._histograms[name], seconds)
        if error is not None:
            kinds = self._errors[name]
            text = error[:_SHOWN]
            kinds[text if text in kinds or len(kinds) < _KINDS else "others"] += 1
            self._failed[name] += 1
        second = int(planned - self._start)
        good, bad, worst = self._series.get(second, (0, 0, 0.0))
        self._series[second] = (good + (error is None), bad + (error is not None), max(worst, seconds))
        self.done += 1

    def started(self, late: float, *, is_late: bool) -> None:
        """An arrival began so many seconds after it was due."""
        self.told.late += is_late
        self.told.worst_late = max(self.told.worst_late, late)

    def created(self, company: str, campaign: str, planned: float) -> None:
        """A campaign was accepted."""
        self.told.created.append(Created(company=company, id=campaign, planned=planned))

    def result(self) -> Told:
        """Return everything."""
        return self.told.model_copy(
            update={
                "histograms": {name: each.encode().decode() for name, each in self._histograms.items()},
                "failed": dict(self._failed),
                "errors": {name: dict(kinds) for name, kinds in self._errors.items()},
                "series": self._series,
            }
        )
