"""Safety of experiments: confirmation, abort limits, and the context of a run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chaos import safety
from chaos.context import Context, current
from chaos.faults import Fault
from chaos.journal import UndoFailedError, UndoJournal
from infra.errors import UsageError
from infra.progress import RecordedStep


@pytest.fixture
def context() -> Context:
    return Context(target=None, experiment="test", step=RecordedStep("test"))  # type: ignore[arg-type]  # not used


@pytest.mark.parametrize("name", ["prod", "local"])
def test_only_an_embedded_cluster_needs_no_confirmation(name: str) -> None:
    safety.require_confirmation(name, None, is_embedded=True)
    safety.require_confirmation(name, name, is_embedded=False)
    for confirmed_name in (None, "staging"):
        with pytest.raises(UsageError, match="require confirmation"):
            safety.require_confirmation(name, confirmed_name, is_embedded=False)


def test_aborted_run_ends_at_its_next_wait(context: Context) -> None:
    context.wait(0.0, "nothing")
    context.abort("too much")
    with pytest.raises(Exception, match="aborted: too much"):
        context.wait(60.0, "nothing")


def test_activity_outside_of_a_run_fails() -> None:
    with pytest.raises(Exception, match="control of esq is not active"):
        current()


def test_fault_without_undo_is_annotated_and_not_open(context: Context, tmp_path: Path) -> None:
    target: Any = SimpleNamespace(journal=UndoJournal(tmp_path))
    context.target = target
    context.inject(Fault(kind="kill", target="x", inject=(("true",),)))
    assert context.undo() == []
    assert [(item.description, item.is_injection) for item in context.annotations] == [("kill of x", True)]


def test_nothing_is_injected_after_an_abort(context: Context) -> None:
    context.abort("too much")
    with pytest.raises(Exception, match="nothing is injected: too much"):
        context.inject(Fault(kind="kill", target="x", inject=(("true",),)))
    assert context.annotations == []


@pytest.fixture
def journal(context: Context, tmp_path: Path) -> UndoJournal:
    context.run_id = "this run"
    context.target = SimpleNamespace(journal=UndoJournal(tmp_path / "open"))  # type: ignore[assignment]  # all that is used
    return context.target.journal


def inject(journal: UndoJournal, kind: str, undo: str = "true", run_id: str = "this run") -> None:
    fault = Fault(kind=kind, target="x", inject=(), undo=((undo,),))
    journal.inject(fault, experiment="test", max_seconds=60, run_id=run_id)


def test_undo_knows_faults_whose_injection_was_interrupted_at_its_end(
    context: Context, journal: UndoJournal
) -> None:
    inject(journal, "unnoticed")
    inject(journal, "foreign", run_id="another run")
    assert context.undo() == ["unnoticed of x"]
    assert [entry.fault.kind for entry in journal.open_faults()] == ["foreign"]


def test_failed_undo_stops_no_other(context: Context, journal: UndoJournal) -> None:
    inject(journal, "older")
    inject(journal, "stuck", undo="false")
    inject(journal, "newer")
    with pytest.raises(UndoFailedError, match="stuck of x is not undone"):
        context.undo()
    assert [entry.fault.kind for entry in journal.open_faults()] == ["stuck"]
    assert context.abort_reason == "stuck of x is not undone"
