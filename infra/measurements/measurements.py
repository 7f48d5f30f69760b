"""Records of SLO measurements, stored in the state folder of the environment.

Each record is a separate file. It is written atomically and never changed, so a measurement can be
shown later together with its environment, host and versions.
"""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - pydantic reads the annotations when the class is created
import os
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from pydantic import BaseModel, ConfigDict, Field

from infra.errors import Problem
from infra.measurements.run_values import Distribution  # noqa: TC001 - pydantic reads the annotations
from infra.subprocesses import CommandFailedError, run

if TYPE_CHECKING:
    from collections.abc import Sequence

PROJECT = Path(__file__).resolve().parents[2]


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
        host: facts of the machine when the record was written: cores, memory, kernel, load.
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

    def for_slo(self, slo_id: str) -> tuple[list[Measurement], list[Problem]]:
        """Return all records of an SLO, oldest first, and a problem for each one that cannot be read."""
        measurements: list[Measurement] = []
        problems: list[Problem] = []
        for file in sorted((self._folder / slo_id).glob("*.json")):
            try:
                measurements.append(Measurement.model_validate_json(file.read_text()))
            except (OSError, ValueError) as error:
                message = f"a measurement record cannot be read: {str(error).splitlines()[0]}"
                remedy = "Repair it, or move it away and measure again."
                problems.append(Problem(message, str(file), remedy))
        return measurements, problems


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
