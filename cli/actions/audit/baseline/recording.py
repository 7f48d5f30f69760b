"""Records running processes: their stacks by py-spy, and their CPU time, memory and I/O from the kernel."""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil

from cli.actions.audit.baseline.stacks import parse_stacks
from cli.actions.audit.extras import require_program
from infra.errors import EsqError
from infra.measurements.poller import PollingThread

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cli.actions.audit.baseline.processes import ServiceProcess

SAMPLES_PER_SECOND = 50
METER_INTERVAL_SECONDS = 0.5
STOP_TIMEOUT_SECONDS = 60.0
_MEBIBYTE = 1 << 20
_LOG_TAIL_CHARACTERS = 500


@dataclass
class Recording:
    """What was recorded of one process.

    Attributes:
        process: the process.
        seconds: time for which it was recorded.
        cpu_seconds: CPU time that it used.
        max_resident_mib: most memory that it had at a time.
        read_bytes: bytes read from disks.
        written_bytes: bytes written to disks.
        stacks: samples by stack, of threads that were running.
    """

    process: ServiceProcess
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    max_resident_mib: float = 0.0
    read_bytes: int = 0
    written_bytes: int = 0
    stacks: Counter[tuple[str, ...]] = field(default_factory=Counter)


@contextmanager
def recorded(processes: Sequence[ServiceProcess], folder: Path) -> Iterator[list[Recording]]:
    """Record processes while the block runs; the recordings are complete after it.

    Args:
        processes: the processes.
        folder: folder of the stacks, `NAME-PID.txt`.

    Raises:
        UsageError: py-spy is not installed.
        EsqError: a process cannot be recorded.
    """
    program = require_program("py-spy")
    recordings = [Recording(process) for process in processes]
    meters = [_Meter(recording) for recording in recordings]
    samplers: list[_Sampler] = []
    try:
        samplers += [_Sampler(program, process, folder) for process in processes]
        with PollingThread("meter", lambda: _read_all(meters), METER_INTERVAL_SECONDS):
            yield recordings
        _read_all(meters)
    finally:
        for sampler in samplers:
            sampler.stop()
    for recording, sampler in zip(recordings, samplers, strict=True):
        recording.stacks = sampler.stacks()


class _Meter:
    """Reads the counters of a process; the first reading is the zero point."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._process = psutil.Process(recording.process.pid)
        self._started_at = time.monotonic()
        self._cpu, self._io = self._process.cpu_times(), self._process.io_counters()

    def read(self) -> None:
        """Update the recording; a process that has ended keeps its last values."""
        with suppress(psutil.NoSuchProcess):
            cpu, counters, memory = (
                self._process.cpu_times(),
                self._process.io_counters(),
                self._process.memory_info(),
            )
            recording = self._recording
            recording.seconds = time.monotonic() - self._started_at
            recording.cpu_seconds = cpu.user + cpu.system - self._cpu.user - self._cpu.system
            recording.read_bytes = counters.read_bytes - self._io.read_bytes
            recording.written_bytes = counters.write_bytes - self._io.write_bytes
            recording.max_resident_mib = max(recording.max_resident_mib, memory.rss / _MEBIBYTE)


def _read_all(meters: Sequence[_Meter]) -> bool:
    """Read all meters; return that this goes on."""
    for meter in meters:
        meter.read()
    return True


class _Sampler:
    """A running py-spy."""

    def __init__(self, program: str, process: ServiceProcess, folder: Path) -> None:
        self._file = folder / f"{process.name}-{process.pid}.txt"
        self._log = self._file.with_suffix(".log")
        argv = [program, "record", "--pid", str(process.pid), "--format", "raw", "--output", str(self._file)]
        with self._log.open("wb") as log:
            self._child = subprocess.Popen(
                [*argv, "--rate", str(SAMPLES_PER_SECOND), "--duration", "unlimited"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self) -> None:
        """Interrupt it, so that it writes what it has."""
        with suppress(ProcessLookupError):
            self._child.send_signal(signal.SIGINT)
        try:
            self._child.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def stacks(self) -> Counter[tuple[str, ...]]:
        """Return the samples.

        Raises:
            EsqError: py-spy could not read the process.
        """
        if not self._file.exists():
            raise EsqError(
                "py-spy recorded nothing",
                location=str(self._log),
                remedy="Run as root: it reads the memory of other processes (ptrace).",
                detail=self._log.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:],
            )
        self._log.unlink()
        return parse_stacks(self._file.read_text(encoding="utf-8"))
