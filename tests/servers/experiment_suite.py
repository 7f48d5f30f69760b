"""Runs experiments on a deployed environment, one after another, and keeps what each of them showed."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaos.capabilities import ClusterKind
from chaos.results import ChaosReport
from infra.errors import EsqError
from infra.measurements.measurements import current_commit
from infra.subprocesses import PYTHON_MODULE
from tests.servers.process import TIMEOUT_MULTIPLIER, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.measurements.report_store import ReportStore

RUN_TIMEOUT_SECONDS = 1500.0
UNDO_TIMEOUT_SECONDS = 180.0
STATUS_TIMEOUT_SECONDS = 60.0
HEALTHY_TIMEOUT_SECONDS = 300.0
ESQ = (*PYTHON_MODULE, "cli.main")


@dataclass(frozen=True)
class ExperimentResult:
    """What a run of an experiment showed.

    Attributes:
        experiment: its name.
        outcome: outcome of the run; `refused` if there was none, `crashed` if the command said nothing.
        seconds: duration of the command.
        slos: id, value and status of each SLO.
        reasons: why it is not valid.
        page: the HTML report.
        earlier: whether an earlier run of this commit showed it.
    """

    experiment: str
    outcome: str
    seconds: float = 0.0
    slos: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    page: str = ""
    earlier: bool = False

    def lines(self) -> list[str]:
        """Return it for the summary."""
        duration = "earlier" if self.earlier else f"{self.seconds:.0f} s"
        head = f"{self.experiment:34} {self.outcome:8} {duration:>8}"
        return [head, *(f"    {line}" for line in (*self.slos, *self.reasons))]


class ExperimentSuite:
    """Experiments on one environment.

    Args:
        environment: name of the environment, which is deployed.
        store: the reports of the environment.
        kind: kind of its cluster.
        confirm: name of the environment as confirmation, which a cluster that is not embedded requires.
        esq: the command line.
    """

    def __init__(
        self,
        environment: str,
        store: ReportStore[ChaosReport],
        *,
        kind: ClusterKind = ClusterKind.EMBEDDED,
        confirm: str = "",
        esq: Sequence[str] = ESQ,
    ) -> None:
        self.kind = kind
        self._environment = environment
        self._store = store
        self._options = ("--confirm", confirm) if confirm else ()
        self._esq = esq
        self.results: list[ExperimentResult] = []

    def find_valid(self, experiment: str) -> ExperimentResult | None:
        """Return the result of the last report of an experiment, if it is valid and of this unchanged commit."""
        commit = current_commit()
        if commit == "unknown" or commit.endswith("+"):
            return None
        for name in reversed(self._store.names()):
            if name.partition("-")[2] == experiment:
                with suppress(EsqError):  # written by another version
                    report, page = self._store.read(name)
                    is_complete = report.runs and report.all_valid and not report.insufficient
                    if report.commit == commit and is_complete:
                        return _result(report, page, earlier=True)
                return None
        return None

    def run(self, experiment: str) -> ExperimentResult:
        """Run an experiment once, on a healthy environment; it undoes its faults, whatever happens."""
        wait_until(f"`esq status {self._environment}`", self.is_healthy, HEALTHY_TIMEOUT_SECONDS)
        started_at = time.monotonic()
        arguments = ("chaos", "run", self._environment, experiment, "--json", *self._options)
        process = subprocess.Popen(
            [*self._esq, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        try:
            output, _ = process.communicate(timeout=RUN_TIMEOUT_SECONDS * TIMEOUT_MULTIPLIER)
        except BaseException:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=UNDO_TIMEOUT_SECONDS)
            process.kill()
            raise
        seconds = time.monotonic() - started_at
        if not output:
            reason = f"`esq chaos run` exited with code {process.returncode}"
            return ExperimentResult(experiment, "crashed", seconds, reasons=(reason,))
        return self._result(experiment, json.loads(output), seconds)

    def _result(self, experiment: str, document: dict[str, Any], seconds: float) -> ExperimentResult:
        if error := document.get("error"):
            reasons = (error["message"], *error["detail"].splitlines()[-5:])
            return ExperimentResult(experiment, "refused", seconds, reasons=reasons)
        page = Path(document["page"])
        report = ChaosReport.model_validate_json(page.with_name("report.json").read_text(encoding="utf-8"))
        return _result(report, page, seconds)

    def is_healthy(self) -> bool:
        """Return whether the environment is deployed and healthy."""
        return self._succeeds("status", self._environment)

    def has_open_fault(self) -> bool:
        """Return whether a fault is left."""
        return not self._succeeds("chaos", "status", self._environment)

    def _succeeds(self, *arguments: str) -> bool:
        return not subprocess.run(
            [*self._esq, *arguments, "--json"],
            capture_output=True,
            check=False,
            timeout=STATUS_TIMEOUT_SECONDS * TIMEOUT_MULTIPLIER,
        ).returncode


def _result(
    report: ChaosReport, page: Path, seconds: float = 0.0, *, earlier: bool = False
) -> ExperimentResult:
    reasons = [f"{run.outcome}: {reason}" for run in report.runs for reason in run.reasons]
    reasons += [f"no valid run measured {evaluation.slo_id}" for evaluation in report.insufficient]
    slos = [
        f"{evaluation.slo_id} {evaluation.distribution.max} {evaluation.unit}: {evaluation.status}"
        for evaluation in report.evaluations
    ]
    outcome = report.runs[-1].outcome if report.runs else "refused"
    return ExperimentResult(
        report.experiment, str(outcome), seconds, tuple(slos), tuple(reasons), str(page), earlier
    )
