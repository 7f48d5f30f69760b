"""Diagnoses on disk: one file each, for the timelines of incidents."""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - pydantic reads the annotations when the class is created
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from infra.files import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from runbooks.triage import Diagnosis

MAX_RECORDS = 500
"""Diagnoses that are kept, the newest ones."""


class TriageRecord(BaseModel):
    """A diagnosis that was made.

    Attributes:
        id: its time.
        at: its time (UTC).
        environment: name of the environment.
        runbook: slug of the runbook that it named.
        causes: the causes with their evidence, as in the JSON of a diagnosis.
        action: the command that it proposed.
        seconds: its duration.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    at: dt.datetime
    environment: str
    runbook: str
    causes: tuple[dict[str, Any], ...]
    action: str = ""
    seconds: float = 0.0

    @property
    def summary(self) -> str:
        """The causes in one line."""
        names = "; ".join(f"{cause['check']}: {cause['reason']}" for cause in self.causes)
        return names or "nothing is broken"


def store_diagnosis(folder: Path, diagnosis: Diagnosis, now: dt.datetime) -> TriageRecord:
    """Keep a diagnosis.

    Args:
        folder: folder of the records.
        diagnosis: the diagnosis.
        now: its time (UTC).

    Returns:
        Its record.
    """
    record = TriageRecord(
        id=f"{now:%Y%m%d-%H%M%S-%f}-triage",
        at=now,
        environment=diagnosis.environment,
        runbook=diagnosis.runbook,
        causes=tuple(diagnosis.to_dict()["causes"]),
        action=diagnosis.action.text(diagnosis.environment) if diagnosis.action else "",
        seconds=diagnosis.seconds,
    )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(folder / f"{record.id}.json", record.model_dump_json(indent=1))
    for file in sorted(folder.glob("*.json"))[:-MAX_RECORDS]:
        file.unlink(missing_ok=True)
    return record


def read_diagnoses(folder: Path) -> list[TriageRecord]:
    """Return the kept diagnoses, oldest first; a file that cannot be read is left out."""
    records = []
    for file in sorted(folder.glob("*.json")):
        with suppress(ValidationError, OSError):
            records.append(TriageRecord.model_validate_json(file.read_text(encoding="utf-8")))
    return records
