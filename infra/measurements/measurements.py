"""Records of SLO measurements, stored in the state folder of the environment.

Each record is a separate file. It is written atomically and never changed, so a measurement can be
shown later together with its environment, host and versions.
"""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - pydantic reads the annotations when the class is created
import os
import platform
import statistics
from enum import StrEnum
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.errors import EsqError
from infra.subprocesses import CommandFailedError, run

if TYPE_CHECKING:
    from collections.abc import Sequence

PROJECT = Path(__file__).resolve().parents[2]


class RunOutcome(StrEnum):
    """How a run ended, which decides what its values prove."""

    VALID = "valid"
    """The run went as planned: its values count."""
    INVALID = "invalid"
    """The run ended, but a part of it failed: it did not measure what it promised."""
    ABORTED = "aborted"
    """The run was stopped, for safety or by a person: an outage lasted at least as long as seen."""
    CRASHED = "crashed"
    """The run ended by an error of the tool."""


class Distribution(BaseModel):
    """The values of all runs of a measurement.

    Attributes:
        values: measured values, one per run, in the order of the runs.
    """

    model_config = ConfigDict(frozen=True)

    values: tuple[float, ...] = Field(min_length=1)

    @property
    def min(self) -> float:
        """Minimum of all runs."""
        return min(self.values)

    @property
    def median(self) -> float:
        """Median of all runs."""
        return statistics.median(self.values)

    @property
    def max(self) -> float:
        """Maximum of all runs."""
        return max(self.values)


class Measurement(BaseModel):
    """A measurement of an SLO.

    Attributes:
        slo_id: id of the SLO.
        measured_at: time of the measurement (UTC).
        environment: name of the environment.
        unit: unit of the values.
        distribution: the values.
        command: command line of the measurement.
        commit: commit of the code; ends in `+` if files were changed.
        versions: versions of the measured software, by name.
        host: facts of the machine: cores, memory, kernel, load before the measurement.
        detail: further facts, e.g. the path of the report.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slo_id: str
    measured_at: dt.datetime
    environment: str
    unit: str
    distribution: Distribution
    command: str
    commit: str
    versions: dict[str, str]
    host: dict[str, str | float]
    detail: dict[str, Any] = Field(default_factory=dict)


class MeasurementStore:
    """Store of the measurements of an environment.

    Args:
        folder: folder of the records; created with the first record.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, measurement: Measurement) -> Path:
        """Write a record and return its file."""
        folder = self._folder / measurement.slo_id
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        timestamp = measurement.measured_at.strftime("%Y%m%dT%H%M%S%fZ")
        file, temporary = folder / f"{timestamp}.json", folder / f".{timestamp}.new"
        temporary.write_text(measurement.model_dump_json(indent=2))
        temporary.rename(file)
        return file

    def for_slo(self, slo_id: str) -> list[Measurement]:
        """Return all records of an SLO, oldest first.

        Raises:
            EsqError: a record cannot be read; unreadable records are never skipped.
        """
        return [_read(file) for file in sorted((self._folder / slo_id).glob("*.json"))]

    def latest(self, slo_id: str) -> Measurement | None:
        """Return the last measurement of an SLO; None when it was never measured."""
        files = sorted((self._folder / slo_id).glob("*.json"))
        return _read(files[-1]) if files else None


def _read(file: Path) -> Measurement:
    try:
        return Measurement.model_validate_json(file.read_text())
    except (OSError, ValidationError) as error:
        raise EsqError(
            "a measurement record cannot be read",
            location=str(file),
            remedy="Repair it, or move it away and measure again.",
            detail=str(error)[:500],
        ) from error


def host_facts() -> dict[str, str | float]:
    """Return the facts of the machine that influence measurements."""
    memory = psutil.virtual_memory()
    return {
        "cores": float(os.cpu_count() or 0),
        "memory_gib": round(memory.total / (1 << 30), 1),
        "memory_available_gib": round(memory.available / (1 << 30), 1),
        "load_1m": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
        "machine": platform.machine(),
    }


@cache
def current_commit() -> str:
    """Return the commit of this checkout, with `+` if files were changed; `unknown` outside of a checkout."""
    git = ["git", "-C", str(PROJECT)]
    try:
        commit = run([*git, "rev-parse", "HEAD"], timeout=10).strip()
        changed = run([*git, "status", "--porcelain", "--untracked-files=no"], timeout=10).strip()
    except CommandFailedError:
        return "unknown"
    return f"{commit}+" if changed else commit


def package_versions(
    packages: Sequence[str] = ("pulumi", "kubernetes", "chaostoolkit-lib"),
) -> dict[str, str]:
    """Return the versions of this toolkit and of the given packages."""
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}
