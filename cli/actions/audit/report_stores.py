"""Where the reports of audits are kept: beside the environments, since most concern none."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from cli.environment import state_dir
from infra.measurements.report_store import ReportStore

if TYPE_CHECKING:
    from pathlib import Path

Report = TypeVar("Report", bound=BaseModel)


def report_store(kind: str, model: type[Report], folder: Path | None = None) -> ReportStore[Report]:
    """Return the store of the reports of an audit.

    Args:
        kind: name of the audit: `baseline`, `sql` or `deps`.
        model: model of its reports.
        folder: folder of the environment that is audited; None if the audit concerns none.
    """
    return ReportStore((folder or state_dir()) / "audit" / kind, model, f"esq audit {kind}")
