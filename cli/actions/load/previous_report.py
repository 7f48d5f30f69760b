"""The report that a new one is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.errors import EsqError
from loadtests.comparison import is_comparable

if TYPE_CHECKING:
    from infra.measurements.report_store import ReportStore
    from loadtests.results import LoadReport


def find_previous_report(store: ReportStore[LoadReport], report: LoadReport) -> LoadReport | None:
    """Return the last comparable run before a run; None if there is none.

    Args:
        store: reports of the environment.
        report: report of the run.
    """
    for name in reversed([name for name in store.names() if name.endswith(f"-{report.scenario}")]):
        try:
            before, _ = store.read(name)
        except EsqError:  # of a version with other figures
            continue
        if before.started_at < report.started_at and is_comparable(before, report):
            return before
    return None
