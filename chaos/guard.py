"""The guard: an experiment begins only where all is well, and ends early when it costs more than it may."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from infra.errors import EsqError, UsageError
from infra.measurements.poller import PollingThread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from chaos.target import Target
    from infra.progress import ProgressStep

HARMLESS = "local"
"""The one environment that may be hurt without being asked for by name."""
WELL_SECONDS = 180.0
_PAUSE = 1.0


class NotWellError(EsqError):
    """The steady state does not hold, so that nothing could be learnt from a fault."""


def confirm(environment: str, named: str | None) -> None:
    """Refuse to hurt anything but `local` that was not asked for by its name.

    Raises:
        UsageError: the name was not given, or is another.
    """
    if environment not in {HARMLESS, named}:
        raise UsageError(
            f"`{environment}` is not to be hurt by accident",
            location="--confirm",
            remedy=f"If it is meant, say its name: --confirm {environment}",
        )


def refuse(target: Target) -> None:
    """Refuse to begin while a fault is open or anything is not well.

    Raises:
        EsqError: a fault is open, of another experiment or of one that was cut off.
        NotWellError: something is not well.
    """
    if entries := target.journal.entries():
        raise EsqError(
            f"a fault is open already: {', '.join(str(each.fault) for each in entries)}",
            location=str(target.journal.folder),
            remedy="Wait for its experiment to end, or undo it: `esq chaos recover`.",
        )
    if troubles := target.troubles():
        raise NotWellError(
            "the steady state does not hold, so nothing is begun",
            location=target.environment,
            remedy=f"See `esq status {target.environment}`.",
            detail="\n".join(f"- {trouble}" for trouble in troubles),
        )


def await_well(target: Target, step: ProgressStep, seconds: float = WELL_SECONDS) -> list[str]:
    """Wait until all is well; return what still is not after `seconds`."""
    deadline = time.monotonic() + seconds
    while troubles := target.troubles():
        step.set_status("; ".join(troubles))
        if time.monotonic() > deadline:
            return troubles
        time.sleep(_PAUSE)
    return []


class Guard(PollingThread):
    """Watches what clients suffer as long as its block lasts.

    Args:
        silence: tells the seconds since each lane's last acknowledgement.
        limits: seconds by lane, as the experiment allows.
        abort: told why the experiment has to end, at most once.
    """

    def __init__(
        self,
        silence: Callable[[], Mapping[str, float]],
        limits: Mapping[str, float],
        abort: Callable[[str], None],
    ) -> None:
        super().__init__("guard", self._bearable)
        self._silence = silence
        self._limits = limits
        self._abort = abort

    def _bearable(self) -> bool:
        if reason := exceeded(self._silence(), self._limits):
            self._abort(reason)
        return not reason


def exceeded(silence: Mapping[str, float], limits: Mapping[str, float]) -> str:
    """Return which lane has been silent for longer than it may; empty when none has."""
    for lane, limit in limits.items():
        found = max((each for name, each in silence.items() if name.startswith(lane)), default=0.0)
        if found > limit:
            return f"{lane} has been silent for {found:.0f} s, and {limit:g} s are allowed"
    return ""
