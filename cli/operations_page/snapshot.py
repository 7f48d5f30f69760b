"""Readings of all panels, shared by all viewers.

Invariant: per panel at most one thread reads, and no reading starts before the interval since the start of
the last one has passed. Thus the load on the environment is bounded by the intervals, however many viewers
poll, and it is zero without viewers. A reading that hangs occupies its own thread only.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cli.operations_page.panel import NotDeployedError, Panel, PanelState, PanelView
from infra.errors import EsqError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_AGE_INTERVALS = 3
"""Content that is older than this many intervals and a deadline is no longer shown as current."""


class Snapshot:
    """The panels of a page.

    Args:
        panels: the panels, in the order of the page.
        clock: monotonic time in seconds.
    """

    def __init__(self, panels: Sequence[Panel], clock: Callable[[], float] = time.monotonic) -> None:
        self._slots = [_Slot(panel, clock) for panel in panels]

    def views(self) -> list[PanelView]:
        """Return all panels as they are known now, without waiting; start the readings that are due."""
        return [slot.view() for slot in self._slots]


@dataclass(frozen=True)
class _Reading:
    view: PanelView
    completed_at: float


class _Slot:
    """The last reading of a panel, and the one in progress."""

    def __init__(self, panel: Panel, clock: Callable[[], float]) -> None:
        self._panel = panel
        self._clock = clock
        self._lock = threading.Lock()
        self._started_at: float | None = None
        self._is_reading = False
        self._last: _Reading | None = None

    def view(self) -> PanelView:
        """Return the panel as it is known now; start a reading if one is due."""
        with self._lock:
            now = self._clock()
            if self._is_due(now):
                self._started_at, self._is_reading = now, True
                threading.Thread(target=self._read, name=f"panel {self._panel.id}", daemon=True).start()
            return self._view(now)

    def _is_due(self, now: float) -> bool:
        if self._is_reading:
            return False
        return self._started_at is None or now - self._started_at >= self._panel.interval_seconds

    def _view(self, now: float) -> PanelView:
        waited = now - (self._started_at or now) if self._is_reading else 0.0
        if waited > self._panel.deadline_seconds:
            return PanelView(self._panel, PanelState.UNAVAILABLE, f"no answer for {waited:.0f} s")
        if self._last is None or self._is_outdated(self._last, now):
            return PanelView(self._panel, PanelState.READING)
        is_current = self._last.view.state is PanelState.CURRENT
        return replace(self._last.view, age_seconds=now - self._last.completed_at if is_current else None)

    def _is_outdated(self, reading: _Reading, now: float) -> bool:
        """Return whether a reading is from before a time without viewers."""
        limit = MAX_AGE_INTERVALS * self._panel.interval_seconds + self._panel.deadline_seconds
        return now - reading.completed_at > limit

    def _read(self) -> None:
        view = _read_panel(self._panel)
        with self._lock:
            self._last, self._is_reading = _Reading(view, self._clock()), False


def _read_panel(panel: Panel) -> PanelView:
    try:
        return PanelView(panel, PanelState.CURRENT, content=panel.read())
    except NotDeployedError as error:
        return PanelView(panel, PanelState.NOT_DEPLOYED, _reason(error))
    except EsqError as error:
        return PanelView(panel, PanelState.UNAVAILABLE, _reason(error))
    except Exception as error:  # noqa: BLE001 - a defect in one panel must not end the others
        return PanelView(panel, PanelState.UNAVAILABLE, f"internal error: {type(error).__name__}: {error}")


def _reason(error: EsqError) -> str:
    return ". ".join(part.rstrip(".") for part in (error.message, error.remedy) if part)
