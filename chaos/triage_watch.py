"""Triage during a run: when a person would be paged, which causes does it name, and how soon?

The first triage starts when the page is due. It is repeated until it names a cause, as a person would do.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from infra.measurements.poller import PollingThread
from runbooks.score import TRUTHS, score

if TYPE_CHECKING:
    from collections.abc import Callable

    from runbooks.triage import Diagnosis

PAGE_SECONDS = 15.0
"""From an outage to its page at most (95th percentile): the SLO of the alerts."""
INTERVAL_SECONDS = 5.0
"""Between two triages: each costs the machine of a local cluster about half a second of CPU time."""


class TriageResult(BaseModel):
    """Result of the triage of a run. Times are seconds since the first injection.

    Attributes:
        named: slugs of the causes that the first diagnosis with a cause named; empty if none did.
        score: its score; None for an experiment whose true causes are not known.
        diagnosed_after_seconds: when it was complete; None without one.
        action_after_seconds: when a safe action was proposed first; None if none was.
        action: command of that action.
        triage_seconds: duration of the last triage.
        triages: number of triages.
        unread: number of checks that the last one could not make.
    """

    model_config = ConfigDict(frozen=True)

    named: tuple[str, ...] = ()
    score: float | None = None
    diagnosed_after_seconds: float | None = None
    action_after_seconds: float | None = None
    action: str = ""
    triage_seconds: float = 0.0
    triages: int = 0
    unread: int = 0


class TriageWatch(PollingThread):
    """Context manager that runs triage during an experiment.

    Args:
        experiment: name of the experiment.
        first_injection_at: returns when the first fault was injected (monotonic clock); None before that.
        diagnose: runs a triage.
        clock: monotonic time in seconds.

    Attributes:
        result: the result so far; None before the first triage.
    """

    def __init__(
        self,
        experiment: str,
        first_injection_at: Callable[[], float | None],
        diagnose: Callable[[], Diagnosis],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__("triage", self.poll)
        self._experiment = experiment
        self._first_injection_at = first_injection_at
        self._diagnose = diagnose
        self._clock = clock
        self._due_at: float | None = None
        self.result: TriageResult | None = None

    def poll(self) -> bool:
        """Run a triage if one is due; return whether another one may be needed."""
        injected_at = self._first_injection_at()
        if injected_at is None:
            return True
        if self._clock() < (self._due_at or injected_at + PAGE_SECONDS):
            return True
        diagnosis = self._diagnose()
        self._due_at = self._clock() + INTERVAL_SECONDS
        self.result = self._result(diagnosis, self._clock() - injected_at)
        return not diagnosis.named

    def _result(self, diagnosis: Diagnosis, seconds: float) -> TriageResult:
        truth, action = TRUTHS.get(self._experiment), diagnosis.action
        is_safe = action is not None and action.risk == "safe"
        return TriageResult(
            named=tuple(sorted(diagnosis.named)),
            score=None if truth is None else score(diagnosis.named, truth),
            diagnosed_after_seconds=seconds if diagnosis.named else None,
            action_after_seconds=seconds if is_safe else None,
            action=action.text(diagnosis.environment) if action and is_safe else "",
            triage_seconds=diagnosis.seconds,
            triages=(self.result.triages if self.result else 0) + 1,
            unread=sum(map(len, diagnosis.unread.values())),
        )
