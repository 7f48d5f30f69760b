"""Reports on disk: a folder per run of something, named after when it began, with JSON and a page in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from infra.errors import EsqError, WrongUseError

if TYPE_CHECKING:
    import datetime as dt
    from pathlib import Path

Report = TypeVar("Report", bound=BaseModel)


class ReportStore(Generic[Report]):
    """The reports of one kind in one environment.

    Args:
        folder: their place.
        model: of the reports.
        making: command that makes one, for those who have none.
    """

    def __init__(self, folder: Path, model: type[Report], making: str) -> None:
        self._folder = folder
        self._model = model
        self._making = making

    def new(self, name: str, now: dt.datetime) -> Path:
        """Make the folder of a run that begins now (UTC)."""
        folder = self._folder / f"{now:%Y%m%dT%H%M%SZ}-{name}"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    @staticmethod
    def write(folder: Path, report: Report, html: str) -> Path:
        """Write both forms of a report; return the page's file."""
        (folder / "report.json").write_text(report.model_dump_json(indent=1), encoding="utf-8")
        page = folder / "report.html"
        page.write_text(html, encoding="utf-8")
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
                remedy=f"One of {', '.join(known[-5:])}." if known else f"Make one: {self._making}",
            )
        file = self._folder / name / "report.json"
        try:
            return self._model.model_validate_json(file.read_text(encoding="utf-8")), file.with_name(
                "report.html"
            )
        except ValidationError as error:
            raise EsqError(
                "a report cannot be read", where=str(file), detail=str(error)[:500], remedy="Run it again."
            ) from error
