"""Reports on disk: a folder per run, named after its start time, with a JSON file and an HTML page."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from infra.errors import EsqError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

Report = TypeVar("Report", bound=BaseModel)
_TIMESTAMP = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class StoredReport:
    """A finished report, without its content.

    Attributes:
        subject: what was run, e.g. the name of an experiment.
        started_at: start of the run (UTC).
        written_at: end of its last run (UTC).
    """

    subject: str
    started_at: dt.datetime
    written_at: dt.datetime


class ReportStore(Generic[Report]):
    """Store of the reports of one kind in an environment.

    Args:
        folder: parent of the report folders.
        model: pydantic model of the reports.
        create_command: command that creates a report, named in the error if there are none.
    """

    def __init__(self, folder: Path, model: type[Report], create_command: str) -> None:
        self._folder = folder
        self._model = model
        self._create_command = create_command

    def create(self, name: str, now: dt.datetime) -> Path:
        """Create the folder of a run.

        Args:
            name: suffix of the folder's name.
            now: start time of the run (UTC).

        Returns:
            The folder.
        """
        folder = self._folder / f"{now:{_TIMESTAMP}}-{name}"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    @staticmethod
    def write(folder: Path, report: Report, html: str) -> Path:
        """Write a report as JSON and HTML.

        Args:
            folder: folder of the run.
            report: the report.
            html: its HTML page.

        Returns:
            The path of the HTML page.
        """
        (folder / "report.json").write_text(report.model_dump_json(indent=1), encoding="utf-8")
        page = folder / "report.html"
        page.write_text(html, encoding="utf-8")
        return page

    def names(self) -> list[str]:
        """Return the names of all finished reports, oldest first."""
        return sorted(file.parent.name for file in self._folder.glob("*/report.json"))

    def stored(self) -> list[StoredReport]:
        """Return when each finished report was made, oldest first, without reading any."""
        return [self._stored(name) for name in self.names()]

    def _stored(self, name: str) -> StoredReport:
        timestamp, _, subject = name.partition("-")
        started_at = dt.datetime.strptime(timestamp, _TIMESTAMP).replace(tzinfo=dt.UTC)
        modified = (self._folder / name / "report.json").stat().st_mtime
        return StoredReport(subject, started_at, dt.datetime.fromtimestamp(modified, dt.UTC))

    def read(self, name: str | None = None) -> tuple[Report, Path]:
        """Return a report and the path of its HTML page; the last report if `name` is None.

        Raises:
            UsageError: the report does not exist.
            EsqError: the report cannot be read.
        """
        names = self.names()
        name = name or (names[-1] if names else None)
        if name is None or name not in names:
            raise UsageError(
                f"report `{name}` does not exist" if name else "there are no reports yet",
                location=str(self._folder),
                remedy=f"Use one of {', '.join(names[-5:])}." if names else f"Run: {self._create_command}",
            )
        file = self._folder / name / "report.json"
        try:
            return self._model.model_validate_json(file.read_text(encoding="utf-8")), file.with_name(
                "report.html"
            )
        except ValidationError as error:
            raise EsqError(
                "a report cannot be read", location=str(file), detail=str(error)[:500], remedy="Run it again."
            ) from error
