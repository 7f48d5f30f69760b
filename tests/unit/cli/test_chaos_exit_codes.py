"""Exit codes of `esq chaos run`: what was not measured is no success."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chaos.context import Annotation
from chaos.results import ChaosReport, ExperimentRun
from cli.actions import chaos as action
from cli.main import run

if TYPE_CHECKING:
    from collections.abc import Callable

INJECTION = Annotation(at=1.0, description="kill of x", is_injection=True)
VALID = ExperimentRun(started_at=0.0, ended_at=10.0, annotations=(INJECTION,), failovers=0)
INVALID = VALID.model_copy(update={"annotations": ()})


@pytest.fixture
def run_with(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the command with given results instead of an experiment."""

    def run_with_results(*runs: ExperimentRun, metric: str) -> int:
        report = ChaosReport(
            experiment="short-pause-no-failover",
            title="A pause",
            description="",
            environment="local",
            started_at="2026-11-25T00:00:00+00:00",
            command="",
            slos={"false-failovers": metric},
            runs=runs,
            host={},
            versions={},
            commit="",
            runbook="",
        )
        monkeypatch.setattr(action, "run_experiment", lambda *_, **__: (report, Path("report.html")))
        return run(["chaos", "run", "local", "short-pause-no-failover"])

    return run_with_results


@pytest.mark.parametrize(
    ("runs", "metric", "exit_code", "text"),
    [
        ((VALID,), "failovers", 0, "1 of 1 runs valid"),
        ((VALID, INVALID), "failovers", 1, "run 2 invalid: no fault was injected"),
        ((VALID,), "lost", 1, "false-failovers: no valid run measured lost"),
        ((INVALID.model_copy(update={"failovers": 1}),), "failovers", 99, "violated"),
    ],
)
def test_exit_code(  # noqa: PLR0913, PLR0917 - a case
    run_with: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    runs: tuple[ExperimentRun, ...],
    metric: str,
    exit_code: int,
    text: str,
) -> None:
    assert run_with(*runs, metric=metric) == exit_code
    assert text in capsys.readouterr().out
