"""A fault during a load: an experiment in a process of its own, and its marks on the load's time axis."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Self

from infra.errors import EsqError
from loadtests.result import Mark

if TYPE_CHECKING:
    from types import TracebackType

LEAD_SECONDS = 10.0
"""The load flows so long before the experiment begins, so that a report shows what normal was."""
END_SECONDS = 600.0
INTERRUPT_SECONDS = 60.0


class Fault:
    """An experiment, as long as the block lasts; left early, it is interrupted and undoes what it did.

    Args:
        experiment: its name; None for none.
        environment: on what.
        lead_seconds: that the load flows before it begins.
    """

    def __init__(
        self, experiment: str | None, environment: str, *, lead_seconds: float = LEAD_SECONDS
    ) -> None:
        self._experiment = experiment
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None
        self._timer = threading.Timer(lead_seconds, self._begin)
        self._timer.daemon = True
        self._flows = False

    def __enter__(self) -> Self:
        """Nothing happens yet."""
        return self

    def __exit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        """Interrupt it if it still runs."""
        self._timer.cancel()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(INTERRUPT_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()

    def load_flows(self) -> None:
        """Begin it in a while. Said again it changes nothing."""
        if self._experiment is not None and not self._flows:
            self._flows = True
            self._timer.start()

    def _begin(self) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "cli.main", "chaos", "run", str(self._experiment), "--json"),
                *("--env", self._environment, "--confirm", self._environment),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def marks(self, start: float) -> tuple[tuple[Mark, ...], str]:
        """Wait for its end; return what it did, in seconds from `start` (monotonic), and its report's page.

        Raises:
            EsqError: it did not end, or told nothing.
        """
        if not self._flows:
            return (), ""
        self._timer.join()
        if self._process is None:
            raise EsqError(f"the experiment `{self._experiment}` did not begin", location="esq chaos run")
        try:
            out, errors = self._process.communicate(timeout=END_SECONDS)
            told = json.loads(out)
            marks = [mark for run in told["runs"] for mark in run["marks"]]
        except (subprocess.TimeoutExpired, ValueError, KeyError) as error:
            raise EsqError(
                f"the experiment `{self._experiment}` told nothing",
                location="esq chaos run",
                remedy="Undo what it may have left: `esq chaos recover`.",
                detail="" if isinstance(error, subprocess.TimeoutExpired) else errors[-2000:],
            ) from error
        found = (Mark(at=mark["at"] - start, what=mark["what"], hurts=mark["hurts"]) for mark in marks)
        return tuple(found), str(told["page"])
