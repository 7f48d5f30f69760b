"""Report of a baseline, and its comparison with the one before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from cli.actions.audit.baseline.stacks import FunctionCost  # noqa: TC001 - pydantic reads the annotations

if TYPE_CHECKING:
    from collections.abc import Iterator

MIN_CORES = 0.02
MIN_MEBIBYTES = 8.0
"""Smaller increases are noise, however large they are relative to the value before."""


class ProcessCost(BaseModel):
    """Cost of all replicas of a process type.

    Attributes:
        name: name of the Deployment.
        replicas: number of recorded processes.
        cores: CPU time per second of all replicas.
        resident_mib: most memory of one replica (resident set).
        read_bytes: bytes read from disks.
        written_bytes: bytes written to disks.
        samples: samples with a running thread.
        functions: functions with the highest own CPU time.
        allocated_mib: bytes at the peak after the start, as its allocator counts them; None if not recorded.
        allocations: functions that allocated most of these.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    replicas: int
    cores: float
    resident_mib: float
    read_bytes: int
    written_bytes: int
    samples: int
    functions: tuple[FunctionCost, ...]
    allocated_mib: float | None = None
    allocations: tuple[FunctionCost, ...] = ()


class BaselineReport(BaseModel):
    """Report of a baseline.

    Attributes:
        started_at: start of the recording (ISO 8601, UTC).
        environment: name of the environment.
        scenario: load scenario during which the processes were recorded; empty for none.
        seconds: time of the recording.
        processes: cost of each process type.
        compared_with: name of the report before; empty if there is none to compare with.
        violations: costs that increased by more than the limit.
        command: command line.
        commit: commit of the code.
        versions: versions of the software.
        host: facts of the machine.
    """

    model_config = ConfigDict(frozen=True)

    started_at: str
    environment: str
    scenario: str
    seconds: float
    processes: tuple[ProcessCost, ...]
    compared_with: str = ""
    violations: tuple[str, ...] = ()
    command: str
    commit: str
    versions: dict[str, str]
    host: dict[str, str | float]


def increases(before: BaselineReport, after: BaselineReport, max_increase: float) -> Iterator[str]:
    """Yield the costs that increased by more than the limit.

    Args:
        before: the baseline before.
        after: this baseline.
        max_increase: limit in percent.
    """
    earlier = {process.name: process for process in before.processes}
    for process in after.processes:
        if process.name in earlier:
            yield from _increases(earlier[process.name], process, max_increase)


def _increases(before: ProcessCost, after: ProcessCost, max_increase: float) -> Iterator[str]:
    values = (
        ("CPU", "cores", before.cores, after.cores, MIN_CORES),
        ("resident memory", "MiB", before.resident_mib, after.resident_mib, MIN_MEBIBYTES),
        ("allocated memory", "MiB", before.allocated_mib, after.allocated_mib, MIN_MEBIBYTES),
    )
    for label, unit, old, new, minimum in values:
        if old is not None and new is not None and new - old > max(minimum, old * max_increase / 100):
            percent = f" ({100 * (new - old) / old:+.0f} %)" if old else ""
            yield f"{after.name}: {label} increased from {old:.2f} to {new:.2f} {unit}{percent}"
