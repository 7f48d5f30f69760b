"""Reports on disk: a folder per experiment run, named after when it began."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from chaos.report.page import html
from chaos.result import Report
from infra.errors import EsqError, WrongUseError

if TYPE_CHECKING:
    import datetime as dt
    from pathlib import Path


class ReportStore:
    """The reports of one environment.

    Args:
        folder: their place.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def new(self, experiment: str, now: dt.datetime) -> Path:
        """Make the folder of an experiment that begins now (UTC)."""
        folder = self._folder / f"{now:%Y%m%dT%H%M%SZ}-{experiment}"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def write(self, folder: Path, report: Report, runbook: str) -> Path:
        """Write both forms of a report; return the page's file."""
        (folder / "report.json").write_text(report.model_dump_json(indent=1), encoding="utf-8")
        page = folder / "report.html"
        page.write_text(html(report, runbook), encoding="utf-8")
        return page

    def names(self) -> list[str]:
        """Return the names of all finished reports, the oldest first."""
        return sorted(file.parent.name for file in self._folder.glob("*/report.json"))

    def read(self, name: str | None = None) -> tuple[Report, Path]:
        """Return a report and its page; the last one when no name is given.

        Raises:
            WrongUseError: there is no such report.
            EsqError: it cannot be read.
        """
        known = self.names()
        name = name or (known[-1] if known else None)
        if name is None or name not in known:
            raise WrongUseError(
                f"no report is called `{name}`" if name else "there are no reports yet",
                where=str(self._folder),
                remedy=f"One of {', '.join(known[-5:])}." if known else "Run one: `esq chaos list`.",
            )
        file = self._folder / name / "report.json"
        try:
            return Report.model_validate_json(file.read_text(encoding="utf-8")), file.with_name("report.html")
        except ValidationError as error:
            raise EsqError(
                "a report cannot be read", where=str(file), detail=str(error)[:500], remedy="Run it again."
            ) from error
