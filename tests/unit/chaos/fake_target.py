"""A target without a cluster, and the control that opens it: documents of Chaos Toolkit name this module."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from chaos import experiment
from chaos.context import current
from chaos.control import Control
from chaos.faults import Fault
from chaos.journal import UndoJournal
from chaos.observation import Instruments
from chaos.results import ExperimentRun
from chaos.session import Setup
from chaos.traffic.client import Endpoints
from infra.errors import EsqError
from infra.progress import RecordingProgress

STREAMS = ("edge.read", "edge.write")


class FakeTraffic:
    """Clients of a platform that always answers, until a test changes `silence` or `alive`."""

    def __init__(self) -> None:
        self.silence = dict.fromkeys(STREAMS, 0.1)
        self.attempts = dict.fromkeys(STREAMS, (1, 0))
        self.alive = True
        self.clients = ("edge",)
        self.problems: list[str] = []
        self.exit_error: Exception | None = None
        self.result_error: Exception | None = None
        self.has_read_stored = False

    @property
    def failure(self) -> str:
        return "" if self.alive else "the traffic process has exited"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.exit_error is not None:
            raise self.exit_error

    def result(self, *, reads_stored: bool = True) -> dict[str, Any]:
        self.has_read_stored = reads_stored
        if self.result_error is not None:
            raise self.result_error
        now = time.monotonic()
        log = {
            "started_at": now - 1,
            "acked": [(0, now - 1, now - 0.9)],
            "failed": 0,
            "errors": {},
            "dropped": 0,
            "late": 0,
            "corrupt": 0,
            "stale": 0,
            "period": 0.2,
        }
        return {"streams": dict.fromkeys(STREAMS, log), "stored": {}, "problems": self.problems}


@dataclass
class FakeTarget:
    """A target whose faults are files: `injected` of a folder."""

    folder: Path
    environment: str = "fake"
    cluster: Any = "zones"
    kubeconfig: Path = Path("kubeconfig of the target")
    traffic: FakeTraffic = field(default_factory=FakeTraffic)
    problems: list[str] = field(default_factory=list)
    on_check: Callable[[], None] = lambda: None
    runs: list[ExperimentRun] = field(default_factory=list)
    journals: list[Mapping[str, Any]] = field(default_factory=list)
    logs: list[Mapping[str, Any]] = field(default_factory=list)
    setup: Setup | None = None
    edge_url: str = ""
    locked_by: str = ""
    events: list[str] = field(default_factory=list)

    @property
    def journal(self) -> UndoJournal:
        return UndoJournal(self.folder / "open", self.environment)

    def python_image(self) -> str:
        return "registry.example/esq/services"

    def endpoints(self, run_name: str) -> Endpoints:
        return Endpoints.model_construct(run_name=run_name, edge_url=self.edge_url)

    @contextmanager
    def exclude_other_machines(self, experiment: str) -> Iterator[None]:
        if self.locked_by:
            raise EsqError(f"another run uses `fake`: {self.locked_by}")
        self.events.append(f"lease of {experiment} with {self.injected()}")
        yield
        self.events.append(f"released with {self.open_faults()}")

    def find_problems(self) -> list[str]:
        self.on_check()
        return self.problems

    def injected(self) -> list[str]:
        """Return the names of all injections so far, undone or not."""
        return (self.folder / "log").read_text().split() if (self.folder / "log").exists() else []

    def open_faults(self) -> list[str]:
        """Return the names of the faults that are in effect."""
        return sorted(file.name for file in (self.folder / "faults").glob("*"))

    def record(self, run: ExperimentRun, journal: Mapping[str, Any], logs: Mapping[str, Any]) -> None:
        self.runs.append(run)
        self.logs.append(logs)
        self.journals.append(journal)


targets: list[FakeTarget] = []
"""Targets of the tests; the last one is that of the running test."""


FOLDER_VARIABLE = "FAKE_TARGET"
"""Variable that names the folder of the target in a process of its own."""


def target() -> FakeTarget:
    """Return the target of the running test."""
    if not targets:
        targets.append(FakeTarget(Path(os.environ[FOLDER_VARIABLE])))
    return targets[-1]


def open_setup(document: dict[str, Any], _: Mapping[str, Any]) -> Setup:
    opened = experiment.parse("fake", document, is_running=True)
    instruments = Instruments(
        start_traffic=lambda *_: target().traffic if opened.extension.traffic else None,  # type: ignore[arg-type,return-value]  # fakes
        sample_cluster=lambda _: dict,
        read_leaders=lambda _: {"postgres": ("postgres-0", 1)},
    )
    target().setup = Setup(opened, target(), RecordingProgress(), target().record, instruments)  # type: ignore[arg-type]  # same
    return target().setup


control = Control(open_setup)
configure_control = control.configure_control
before_experiment_control = control.before_experiment_control
before_activity_control = control.before_activity_control
after_activity_control = control.after_activity_control
after_experiment_control = control.after_experiment_control
cleanup_control = control.cleanup_control


def inject(name: str) -> str:
    """Inject the fault `name`."""
    faults = target().folder / "faults"
    faults.mkdir(exist_ok=True)
    command = f"touch {faults / name}; echo {name} >> {target().folder / 'log'}"
    fault = Fault(
        kind=name, target="fake", inject=(("sh", "-c", command),), undo=(("rm", "-f", str(faults / name)),)
    )
    current().inject(fault)
    return name


def inject_slowly(name: str, stream: str) -> None:
    """Inject a fault whose command does not end, while a stream becomes silent."""
    threading.Timer(0.3, silence, (stream, 99.0)).start()
    faults = target().folder / "faults"
    command = f"mkdir -p {faults}; touch {faults / name}; exec sleep 600"
    fault = Fault(
        kind=name, target="fake", inject=(("sh", "-c", command),), undo=(("rm", "-f", str(faults / name)),)
    )
    current().inject(fault)


def inject_without_undo(name: str) -> None:
    """Inject a fault whose undo fails."""
    current().inject(Fault(kind=name, target="fake", inject=(("true",),), undo=(("false",),)))


def inject_and_undo_in_vain(name: str) -> None:
    """Inject a fault whose injection and undo fail."""
    current().inject(Fault(kind=name, target="fake", inject=(("false",),), undo=(("false",),)))


def note_open() -> list[str]:
    """Return the faults in effect."""
    return target().open_faults()


def nothing_was_injected() -> bool:
    """Return whether nothing was injected so far."""
    return not target().injected()


def roll_back_by_hand() -> None:
    """Undo all faults as another process does."""
    target().journal.rollback()


def fail() -> None:
    """Fail."""
    raise RuntimeError("planted")


def silence(stream: str, seconds: float) -> None:
    """Let a stream be silent."""
    target().traffic.silence[stream] = seconds


def kill_traffic() -> None:
    """Let the traffic die."""
    target().traffic.alive = False


def forget_stream(stream: str) -> None:
    """Let the traffic report a stream no more."""
    del target().traffic.silence[stream]


def send_signal(number: int) -> None:
    """Send a signal to this process, as a terminal does."""
    os.kill(os.getpid(), number)
    signal.sigtimedwait((), 10)
