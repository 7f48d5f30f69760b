"""`esq test [PART ...] [PYTEST_ARGS ...]`: the checks that a change must pass."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import typer

from cli import output
from infra.errors import ExitCode, UsageError

app = output.command_group()

PROJECT = Path(__file__).resolve().parents[2]
CHECKS: dict[str, tuple[tuple[str, ...], ...]] = {
    "lint": (("ruff", "check", "."), ("ruff", "format", "--check", ".")),
    "types": (("mypy",),),
    "imports": (("lint-imports",),),
}
SUITES = ("unit", "contract", "integration", "e2e")
PARTS = (*CHECKS, *SUITES)
SERVERS = {"postgresql-15": "/usr/lib/postgresql/15/bin/postgres", "redis-server": "/usr/bin/redis-server"}
"""Debian packages of servers that tests start, and a program of each."""
_PYTEST = (sys.executable, "-m", "pytest")
_COVERAGE = ("--cov", "--cov-append", "--cov-report=", "--cov-fail-under=0")
_WORKERS: dict[str, tuple[str, ...]] = {
    "unit": ("-n", "2"),
    # The tests of one folder share servers.
    "contract": ("-n", "2", "--dist", "loadgroup"),
}
"""Options of pytest-xdist. Integration tests run in one process: several depend on timing, and failed in
parallel on two cores. With arguments of pytest (`-k NAME`), one process runs the tests."""
_NO_TESTS_COLLECTED = 5
_TOOLS = {
    "contract": ("kubernetes", "etcd", "pulumi", "pulumi-kubernetes"),
    "e2e": (),
    "integration": ("kubernetes", "etcd", "coredns", "local-path-provisioner", "pulumi", "garage", "kafka"),
}


@dataclass(frozen=True)
class PartResult:
    """Result of a part.

    Attributes:
        part: its name.
        passed: whether all of its commands exited with 0.
        seconds: duration in seconds.
    """

    part: str
    passed: bool
    seconds: float


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def test(context: typer.Context) -> None:
    """Run checks and tests. Arguments: PART ... PYTEST_ARGS ...

    The parts are lint, types, imports, unit, contract, integration and e2e; all of them by default.
    Everything from the first option on is passed to pytest, e.g. `esq test unit -k NAME`. Installs what the
    parts need. Exit code 1 when a part fails.
    """
    parts, pytest_args = split_arguments(context.args)
    _prepare(parts)
    if not pytest_args:
        _run("coverage", "erase")
    results = [_run_part(part, pytest_args) for part in parts]
    if set(SUITES) <= set(parts) and not pytest_args:
        results.append(_evaluate_coverage())
    for result in results:
        typer.echo(f"{'ok  ' if result.passed else 'FAIL'} {result.part:12} {result.seconds:7.1f} s")
    if not all(result.passed for result in results):
        raise typer.Exit(ExitCode.FAILED)


def split_arguments(args: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split command line arguments into parts and arguments of pytest.

    Args:
        args: arguments of `esq test`.

    Returns:
        The parts, which default to all (all suites when there are arguments of pytest), and these arguments.

    Raises:
        UsageError: unknown part.
    """
    count = next((index for index, arg in enumerate(args) if arg not in PARTS), len(args))
    parts, pytest_args = tuple(args[:count]), tuple(args[count:])
    if pytest_args and not pytest_args[0].startswith("-"):
        raise UsageError(
            f"no such part: {pytest_args[0]}", location="PART", remedy=f"One of {', '.join(PARTS)}."
        )
    return parts or (SUITES if pytest_args else PARTS), tuple(arg for arg in pytest_args if arg != "--")


def _run_part(part: str, pytest_args: tuple[str, ...]) -> PartResult:
    started = time.monotonic()
    options = pytest_args or (*_COVERAGE, *_WORKERS.get(part, ()))
    commands = CHECKS.get(part) or ((*_PYTEST, f"tests/{part}", *options),)
    # All commands run, also after a failure: one run reports every problem.
    codes = [_run(*command) for command in commands]
    # Arguments such as -k may select nothing in a suite.
    accepted = {0, _NO_TESTS_COLLECTED} if pytest_args and part in SUITES else {0}
    return PartResult(part, set(codes) <= accepted, time.monotonic() - started)


def _evaluate_coverage() -> PartResult:
    started = time.monotonic()
    _run("coverage", "combine", "--append", "--quiet")
    return PartResult("coverage", _run("coverage", "report") == 0, time.monotonic() - started)


def _run(*argv: str) -> int:
    """Run a program in the project's folder and return its exit code; output is passed through."""
    typer.echo(f"$ {' '.join(argv)}")
    sys.stdout.flush()
    env = {**os.environ, "PYTHONPATH": str(PROJECT)}
    return subprocess.run(argv, cwd=PROJECT, env=env, check=False).returncode


def _prepare(parts: tuple[str, ...]) -> None:
    """Install the Debian packages and build the tools that the parts need."""
    from cli.actions.debian_packages import install  # noqa: PLC0415 - same
    from cli.actions.deployment_target import open_toolchain  # noqa: PLC0415 - same
    from infra.zones import packages  # noqa: PLC0415 - same

    progress = output.progress_reporter(as_json=False)
    tools = {tool for part in parts for tool in _TOOLS.get(part, ())}
    if not tools:
        return
    servers = [package for package, program in SERVERS.items() if not Path(program).exists()]
    install([*packages.missing(), *servers], progress)
    open_toolchain(progress).ensure(sorted(tools), progress)
