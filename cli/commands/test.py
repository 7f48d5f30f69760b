"""`esq test [PARTS]`: everything that must hold before a change lands, and what it needs installed first."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from infra.errors import UsageError

app = typer.Typer()

PROJECT = Path(__file__).resolve().parents[2]
_PYTEST = (sys.executable, "-m", "pytest", "--cov", "--cov-append", "--cov-report=", "--cov-fail-under=0")
CHECKS: dict[str, tuple[tuple[str, ...], ...]] = {
    "lint": (("ruff", "check", "."), ("ruff", "format", "--check", ".")),
    "types": (("mypy",),),
    "imports": (("lint-imports",),),
}
SUITES = ("unit", "contract", "integration", "e2e")
SERVERS = {"postgresql-15": "/usr/lib/postgresql/15/bin/postgres", "redis-server": "/usr/bin/redis-server"}
"""Debian packages of servers that tests start by themselves, and a program of each."""
_TOOLS = {
    "contract": ("kubernetes", "etcd", "pulumi"),
    "e2e": (),
    "integration": ("kubernetes", "etcd", "coredns", "local-path-provisioner", "pulumi", "garage", "kafka"),
}


@dataclass(frozen=True)
class Result:
    """How a part went."""

    part: str
    good: bool
    seconds: float


@app.command()
def test(
    parts: Annotated[
        list[str] | None, typer.Argument(help=f"Of {', '.join((*CHECKS, *SUITES))}; all when none is named.")
    ] = None,  # noqa: PT028 - a command, not a test
) -> None:
    """Run the tests, or a part of them; installs what they need. Exit code 1 when anything fails."""
    chosen = tuple(parts or (*CHECKS, *SUITES))
    unknown = [part for part in chosen if part not in (*CHECKS, *SUITES)]
    if unknown:
        raise UsageError(
            f"no such part: {', '.join(unknown)}",
            location="PARTS",
            remedy=f"One of {', '.join((*CHECKS, *SUITES))}.",
        )
    _prepare(chosen)
    _run("coverage", "erase")
    results = [_part(part) for part in chosen]
    whole = set(SUITES) <= set(chosen)
    results += [_coverage()] if whole else []
    for result in results:
        typer.echo(f"{'ok  ' if result.good else 'FAIL'} {result.part:12} {result.seconds:7.1f} s")
    if not all(result.good for result in results):
        raise typer.Exit(1)


def _part(part: str) -> Result:
    begun = time.monotonic()
    commands = CHECKS.get(part) or ((*_PYTEST, f"tests/{part}"),)
    # All of them, also after one has failed: a person wants to see everything at once.
    good = all([_run(*command) for command in commands])  # noqa: C419 - a generator would stop at the first
    return Result(part, good, time.monotonic() - begun)


def _coverage() -> Result:
    begun = time.monotonic()
    _run("coverage", "combine", "--append", "--quiet")
    return Result("coverage", _run("coverage", "report"), time.monotonic() - begun)


def _run(*argv: str) -> bool:
    """Run a program in the project's folder, with its output as it comes; tell whether it ended with 0."""
    typer.echo(f"$ {' '.join(argv)}")
    sys.stdout.flush()
    return (
        subprocess.run(
            argv, cwd=PROJECT, env={**os.environ, "PYTHONPATH": str(PROJECT)}, check=False
        ).returncode
        == 0
    )


def _prepare(chosen: tuple[str, ...]) -> None:
    """Install Debian packages and build tools that the chosen parts need."""
    from cli import output  # noqa: PLC0415 - help needs none of it
    from cli.actions import ground  # noqa: PLC0415 - same
    from cli.actions.packages import install  # noqa: PLC0415 - same
    from infra.zones import packages  # noqa: PLC0415 - same

    steps = output.steps(as_json=False)
    tools = {tool for part in chosen for tool in _TOOLS.get(part, ())}
    if not tools:
        return
    servers = [package for package, program in SERVERS.items() if not Path(program).exists()]
    install([*packages.missing(), *servers], steps)
    toolchain = ground.toolchain(steps)
    toolchain.ensure(sorted(tools), steps)
    # Tests find the servers that they start on PATH.
    folders = dict.fromkeys(str(toolchain.path(name).parent) for name in ("kubectl", "etcd", "pulumi"))
    if "garage" in tools:
        folders[str(toolchain.path("garage").parent)] = None
    os.environ["PATH"] = os.pathsep.join([*folders, os.environ["PATH"]])
