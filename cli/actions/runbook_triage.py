"""A run follows its cause: the runbook of what triage names, not of the symptom that was reported first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.errors import EsqError
from runbooks.triage import diagnose

if TYPE_CHECKING:
    from collections.abc import Callable

    from runbooks.check import CheckContext
    from runbooks.run_store import RunStore


def follow_cause(store: RunStore, run_id: str, open_context: Callable[[], CheckContext]) -> bool:
    """Give a new run the runbook of its cause.

    Args:
        store: the runs of the environment.
        run_id: the run.
        open_context: returns fresh readings.

    Returns:
        Whether the run is merged into another one, so that nothing is left to do.
    """
    record = store.read(run_id)
    if any(step.state != "waiting" for step in record.steps):
        return False  # it was interrupted: it keeps its runbook
    try:
        diagnosis = diagnose(open_context())
    except EsqError:
        return False
    # Several faults may exist at the same time: the alert keeps its runbook if that is one of the causes.
    is_named = diagnosis.causes and not diagnosis.is_unknown and record.runbook not in diagnosis.named
    return bool(is_named) and store.retarget(run_id, diagnosis.runbook).phase == "merged"
