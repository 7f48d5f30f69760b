"""Locations of the tools: PATH if the version matches, else the user's cache, built there once."""

from __future__ import annotations

import fcntl
import re
import shutil
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from infra.errors import EsqError, Problem, ProblemsError
from infra.subprocesses import CommandFailedError, run
from infra.zones.toolchain import builds
from infra.zones.toolchain.plugin_version import plugin_version
from infra.zones.toolchain.tools import TOOLS, TOOLS_BY_NAME, TOOLS_BY_PROGRAM, Tool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from infra.progress import ProgressReporter

_LOCK_POLL_INTERVAL_SECONDS = 0.5
_BUILDERS = {"go": builds.build_go, "cargo": builds.build_cargo, "maven": builds.fetch_maven}


class ToolStatus(BaseModel):
    """The current status of a tool.

    Attributes:
        name: name of the tool.
        version: required version.
        origin: source of the tool: on PATH, built in the cache, or missing.
        path: its program, or the folder of its programs; empty when missing.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    origin: Literal["path", "cache", "missing"]
    path: str


class Toolchain:
    """The tools of this user.

    Args:
        cache: folder that they are built into.
        steps: progress reporter.
    """

    def __init__(self, cache: Path, steps: ProgressReporter) -> None:
        self._cache = cache
        self._steps = steps
        self._on_path: dict[str, bool] = {}

    def path(self, program: str) -> Path:
        """Return the path of a program, or of Kafka's folder.

        Raises:
            EsqError: it is missing; `ensure` would build it.
        """
        tool = TOOLS_BY_PROGRAM.get(program) or TOOLS_BY_NAME.get(program)
        if tool is None or self._is_on_path(tool):
            location = shutil.which(program)
        else:
            folder = self._cache / tool.key
            location = (
                str(folder if tool.kind == "maven" else folder / "bin" / program) if folder.exists() else None
            )
        if location is None:
            raise EsqError(
                f"no program {program}", location="toolchain", remedy="Run `./esq toolchain build`."
            )
        return Path(location)

    def list(self) -> list[ToolStatus]:
        """Return the status of every tool."""
        return [self._status(tool) for tool in TOOLS]

    def missing(self, names: Sequence[str]) -> Sequence[str]:
        """Return those of these tools that are neither on PATH nor in the cache."""
        return [name for name in names if self._status(TOOLS_BY_NAME[name]).origin == "missing"]

    def ensure(self, names: Sequence[str], steps: ProgressReporter | None = None) -> None:
        """Build the tools that are neither on PATH nor in the cache.

        Args:
            names: names of the tools.
            steps: progress reporter; the toolchain's own when None.

        Raises:
            ProblemsError: compilers are missing; all are listed, and nothing was built.
            EsqError: a build fails.
        """
        missing = [TOOLS_BY_NAME[name] for name in self.missing(names)]
        problems = list(_missing_compilers(missing))
        if problems:
            raise ProblemsError("tools cannot be built on this machine", problems)
        if missing:
            self._build_side_by_side(missing, steps or self._steps)

    def _build_side_by_side(self, tools: Sequence[Tool], steps: ProgressReporter) -> None:
        """Build tools of different compilers at the same time; the first failure cancels all others.

        Tools of one compiler are built in order: Go tools share compiled packages, which concurrent builds
        would compile twice.
        """
        by_kind: defaultdict[str, list[Tool]] = defaultdict(list)
        for tool in tools:
            by_kind[tool.kind].append(tool)
        cancelled = threading.Event()
        with ThreadPoolExecutor(len(by_kind), thread_name_prefix="build") as pool:
            builds_of_kinds = [
                pool.submit(self._build_all, kind, steps, cancelled) for kind in by_kind.values()
            ]
            try:
                for build in as_completed(builds_of_kinds):
                    build.result()
            except BaseException:
                cancelled.set()
                raise

    def _build_all(self, tools: Sequence[Tool], steps: ProgressReporter, cancelled: threading.Event) -> None:
        for tool in tools:
            if not cancelled.is_set():
                self._build(tool, steps, cancelled)

    def _build(self, tool: Tool, steps: ProgressReporter, cancelled: threading.Event) -> None:
        with steps.step(f"{tool.name} {tool.version}") as step, self._locked(tool, cancelled) as log:
            step.set_status(f"building; log: {log}")
            target = self._cache / tool.key
            if target.exists():
                step.set_result("built by another run")
                return
            fresh = self._cache / f".{tool.key}.new"
            shutil.rmtree(fresh, ignore_errors=True)
            (fresh / "bin").mkdir(parents=True)
            try:
                _BUILDERS[tool.kind](tool, fresh, log, self._cache, cancelled)
                fresh.rename(target)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)

    @contextmanager
    def _locked(self, tool: Tool, cancelled: threading.Event) -> Iterator[Path]:
        """Hold the tool's lock, so that two runs do not build it twice; yield the path of its log."""
        logs = self._cache / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        with (logs / f"{tool.name}.lock").open("w") as lock:
            while not _try_lock(lock.fileno()):
                if cancelled.wait(_LOCK_POLL_INTERVAL_SECONDS):
                    raise EsqError(f"the build of {tool.name} was cancelled", location=lock.name)
            yield logs / f"{tool.name}.log"

    def _status(self, tool: Tool) -> ToolStatus:
        folder = self._cache / tool.key
        if self._is_on_path(tool):
            program = str(shutil.which(tool.programs[0]))
            return ToolStatus(name=tool.name, version=tool.version, origin="path", path=program)
        if folder.exists():
            return ToolStatus(name=tool.name, version=tool.version, origin="cache", path=str(folder))
        return ToolStatus(name=tool.name, version=tool.version, origin="missing", path="")

    def _is_on_path(self, tool: Tool) -> bool:
        """Return whether all programs of a tool are on PATH in the required version; checked once."""
        if tool.name not in self._on_path:
            self._on_path[tool.name] = bool(tool.version_args or tool.plugin) and all(
                _has_version(program, tool) for program in tool.programs
            )
        return self._on_path[tool.name]


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _has_version(program: str, tool: Tool) -> bool:
    if shutil.which(program) is None:
        return False
    version_args = ("version", "--client") if program == "kubectl" else tool.version_args
    try:
        output = plugin_version(program) if tool.plugin else run([program, *version_args], timeout=30)
    except CommandFailedError:
        return False
    return re.search(rf"(?<![\d.]){re.escape(tool.version)}(?![\d.])", output) is not None


def _missing_compilers(missing: Iterable[Tool]) -> Iterator[Problem]:
    kinds = {tool.kind: tool.name for tool in missing}
    if "cargo" in kinds and not builds.is_cargo_recent():
        yield Problem(
            "no Cargo 1.85 or newer on PATH",
            kinds["cargo"],
            "Install a Rust toolchain (Debian 12's is too old), or put a matching garage on PATH.",
        )
    if "maven" in kinds and shutil.which("mvn") is None:
        yield Problem("no mvn on PATH", kinds["maven"], "apt-get install --no-install-recommends maven")
