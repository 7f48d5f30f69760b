"""`esq test [PART ...] [PYTEST_ARGS ...]`: the checks that a change must pass."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import typer

from cli import output
from cli.actions.test_lanes import Part, PartResult, run_in_foreground, run_lanes
from infra.errors import ExitCode, UsageError
from infra.subprocesses import PYTHON_MODULE

app = output.command_group()

CHECKS: dict[str, tuple[tuple[str, ...], ...]] = {
    "lint": (
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        (*PYTHON_MODULE, "cli.main", "runbook", "check"),
    ),
    "types": (("mypy",),),
    "imports": (("lint-imports",),),
}
SUITES = ("unit", "contract", "integration", "cluster", "e2e")
CLUSTER_SUITES = ("cluster", "e2e")
"""Suites that start clusters: one after another, beside the other parts."""
PARTS = (*CHECKS, *SUITES)
CHAOS = "chaos"
"""Suite that disturbs a deployed environment: it runs only if it is named, and alone, because it measures."""
_CHAOS_OPTIONS = ("-m", "chaos", "-v")
PROGRAMS = {
    "postgresql-15": "/usr/lib/postgresql/15/bin/postgres",
    "redis-server": "/usr/bin/redis-server",
    "chromium-headless-shell": "/usr/bin/chromium-headless-shell",
    "prometheus-alertmanager": "/usr/bin/prometheus-alertmanager",
}
"""Debian packages of programs that tests start, and a program of each."""
_PYTEST = (sys.executable, "-u", "-P", "-m", "pytest")
_COVERAGE = ("--cov", "--cov-report=", "--cov-fail-under=0")
_WORKERS: dict[str, tuple[str, ...]] = {
    "unit": ("-n", "2"),
    # The tests of one folder share servers.
    "contract": ("-n", "2", "--dist", "loadgroup"),
    # These mostly wait: more workers than cores.
    "integration": ("-n", "3", "--dist", "loadfile"),
}
"""Options of pytest-xdist. With arguments of pytest (`-k NAME`), one process runs the tests."""
_NO_TESTS_COLLECTED = 5
_ZONES = ("kubernetes", "etcd", "coredns", "local-path-provisioner")
_TOOLS = {
    "contract": ("kubernetes", "etcd", "pulumi", "pulumi-kubernetes", "victoria-metrics", "victoria-logs"),
    "integration": ("kubernetes", "etcd", "pulumi", "garage", "kafka"),
    "cluster": _ZONES,
    "e2e": (),
}


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def test(context: typer.Context) -> None:
    """Run checks and tests. Arguments: PART ... PYTEST_ARGS ...

    The parts are lint, types, imports, unit, contract, integration, cluster and e2e; all of them by default.
    Everything from the first option on is passed to pytest, e.g. `esq test unit -k NAME`. Installs what the
    parts need. The parts cluster and e2e run beside the others. Exit code 1 when a part fails.

    `esq test chaos` runs every experiment once on a deployed environment, without those that have a valid
    report of this commit. Options: -k NAME, --environment ENV, --confirm ENV, --repeat-valid.
    """
    parts, pytest_args = split_arguments(context.args)
    _prepare(parts)
    results = _run_selected_tests(parts, pytest_args) if pytest_args else _run_parts(parts)
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
        UsageError: unknown part, or one that must run alone beside others.
    """
    known = (*PARTS, CHAOS)
    count = next((index for index, arg in enumerate(args) if arg not in known), len(args))
    parts, pytest_args = tuple(args[:count]), tuple(args[count:])
    if pytest_args and not pytest_args[0].startswith("-"):
        raise UsageError(
            f"no such part: {pytest_args[0]}", location="PART", remedy=f"One of {', '.join(known)}."
        )
    if CHAOS in parts and len(parts) > 1:
        raise UsageError(
            "other parts would disturb what experiments measure", location=CHAOS, remedy="Run it alone."
        )
    return parts or (SUITES if pytest_args else PARTS), tuple(arg for arg in pytest_args if arg != "--")


def split_lanes(parts: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the parts that run one after another, by lane; lanes run beside each other."""
    lanes = (
        tuple(part for part in parts if part not in CLUSTER_SUITES),
        tuple(part for part in parts if part in CLUSTER_SUITES),
    )
    return [lane for lane in lanes if lane]


def _run_parts(parts: tuple[str, ...]) -> list[PartResult]:
    """Run parts; measure coverage when all suites run."""
    measured = set(SUITES) <= set(parts)
    with tempfile.TemporaryDirectory(prefix="esq-test-") as folder:
        lanes = [
            [_part(name, Path(folder), measured=measured) for name in lane] for lane in split_lanes(parts)
        ]
        results = run_lanes(lanes, Path(folder))
        if measured:
            results += run_lanes([[_coverage(Path(folder))]], Path(folder))
    return results


def _part(name: str, folder: Path, *, measured: bool) -> Part:
    if name in CHECKS:
        return Part(name, CHECKS[name])
    options = (*_options(name), *_WORKERS.get(name, ()), *(_COVERAGE if measured else ()))
    colour = ("--color=yes",) if sys.stdout.isatty() else ()
    command = (*_PYTEST, f"tests/{name}", *options, *colour)
    # A file of its own: suites that run at the same time must not combine each other's data.
    return Part(name, (command,), {"COVERAGE_FILE": str(folder / f".coverage.{name}")})


def _options(name: str) -> tuple[str, ...]:
    return _CHAOS_OPTIONS if name == CHAOS else ()


def _coverage(folder: Path) -> Part:
    return Part("coverage", (("coverage", "combine", "--quiet", str(folder)), ("coverage", "report")))


def _run_selected_tests(parts: tuple[str, ...], pytest_args: tuple[str, ...]) -> list[PartResult]:
    """Run the tests that match arguments of pytest, such as -k; they may select none in a part."""
    results = []
    for name in parts:
        command = (*_PYTEST, f"tests/{name}", *_options(name), *pytest_args)
        part = Part(name, CHECKS.get(name) or (command,))
        accepted = {0, _NO_TESTS_COLLECTED} if name in SUITES else {0}
        results.append(run_in_foreground(part, accepted))
    return results


def _prepare(parts: tuple[str, ...]) -> None:
    """Install the Debian packages and build the tools that the parts need."""
    from cli.actions.debian_packages import install  # noqa: PLC0415 - same
    from cli.actions.deployment_target import open_toolchain  # noqa: PLC0415 - same
    from infra.zones import packages  # noqa: PLC0415 - same

    progress = output.progress_reporter(as_json=False)
    tools = {tool for part in parts for tool in _TOOLS.get(part, ())}
    if not tools:
        return
    programs = [package for package, program in PROGRAMS.items() if not Path(program).exists()]
    install([*packages.missing(), *programs], progress)
    open_toolchain(progress).ensure(sorted(tools), progress)
