"""`esq audit baseline | sql | deps`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.output import AsJson, Env  # noqa: TC001 - Typer reads annotations
from infra.errors import ExitCode

if TYPE_CHECKING:
    from cli.actions.audit.baseline.report import BaselineReport
    from cli.actions.audit.deps.report import DepsReport
    from cli.actions.audit.sql.report import SqlReport

app = output.command_group("Audit the statements, the dependencies, and the cost of the services.")
MAX_SHOWN_STATEMENTS = 15
Rows = Annotated[
    int, typer.Option(help="Messages of the data set; it is generated once for each number.", min=1000)
]
Advisories = Annotated[
    Path | None,
    typer.Option(help="Advisories in the OSV format: a `.zip` of OSV, or a folder of PyPA.", exists=True),
]
Scenario = Annotated[str, typer.Option(help="Load scenario to record, see `esq load list`.")]
MaxIncrease = Annotated[
    float, typer.Option(help="Limit of an increase over the last baseline, in percent.", min=0)
]
AcceptPlans = Annotated[
    bool, typer.Option("--accept-plans", help="Write the plans to the files that later audits compare with.")
]


@app.command()
def baseline(
    env: Env, scenario: Scenario = "campaigns", max_increase: MaxIncrease = 20, *, json: AsJson = False
) -> None:
    """Record CPU, memory, allocations and I/O of every service under load. Exit code 99 if a cost increased.

    Only of an environment on this machine, as root. The report has flame graphs of each process.

    It is compared with the last one without violations. To accept an increase, run with a higher
    --max-increase.
    """
    from cli.actions.audit.baseline.audit import audit_baseline  # noqa: PLC0415 - not needed for help
    from cli.environment import load_environment  # noqa: PLC0415 - same

    command = shlex.join(["esq", *sys.argv[1:]])
    steps = output.progress_reporter(as_json=json)
    report, page = audit_baseline(load_environment(env), scenario, max_increase, command, steps)
    if json:
        output.print_json({**report.model_dump(mode="json"), "page": page})
    else:
        _print_baseline(report, page)
    if report.violations:
        raise typer.Exit(ExitCode.SLO_VIOLATED)


def _print_baseline(report: BaselineReport, page: Path) -> None:
    table = output.table("process", "cores", "MiB", "allocated,\nMiB", "costliest function")
    for process in report.processes:
        costliest = process.functions[0].name if process.functions else ""
        allocated = "" if process.allocated_mib is None else f"{process.allocated_mib:.0f}"
        sizes = (f"{process.cores:.3f}", f"{process.resident_mib:.0f}", allocated)
        table.add_row(process.name, *sizes, costliest)
    output.print_table(table)
    console = output.console()
    for text in report.violations:
        console.print(f"[red]✗[/] {text}")
    console.print(f"Compared with: {report.compared_with or 'no earlier baseline'}")
    console.print(f"Report and flame graphs: {page}", soft_wrap=True)


@app.command()
def sql(rows: Rows = 10_000_000, *, accept_plans: AcceptPlans = False, json: AsJson = False) -> None:
    """Run every statement of the services on generated data. Exit code 99 if one exceeds its limits.

    The first run generates the data: 10 million messages take ten minutes or more and 20 GB of disk.
    """
    from cli.actions.audit.sql.audit import accept_plans as write_plans  # noqa: PLC0415 - not for help
    from cli.actions.audit.sql.audit import audit_sql  # noqa: PLC0415 - same

    report, page = audit_sql(rows, shlex.join(["esq", *sys.argv[1:]]), output.progress_reporter(as_json=json))
    if json:
        document = report.model_dump(mode="json")
        output.print_json({**document, "violations": report.violations, "page": page})
    else:
        _print_sql(report, page)
    if accept_plans:
        write_plans(report)
    if report.violations:
        raise typer.Exit(ExitCode.SLO_VIOLATED)


def _print_sql(report: SqlReport, page: Path) -> None:
    table = output.table("statement", "ms", "blocks", "discarded", "status")
    for item in report.statements[:MAX_SHOWN_STATEMENTS]:
        status = "[red]violated[/]" if item.violations else "[green]met[/]"
        table.add_row(item.id, f"{item.min_ms:.1f}", str(item.blocks), str(item.discarded_rows), status)
    output.print_table(table)
    console = output.console()
    for text in report.violations:
        console.print(f"[red]✗[/] {text}", markup=True)
    if not report.has_committed_plans:
        console.print(f"Plans were not compared: there are none for {report.rows} messages.")
    console.print(f"{len(report.statements)} cases; all of them: {page}", soft_wrap=True)


@app.command()
def deps(advisories: Advisories = None, *, json: AsJson = False) -> None:
    """Inspect all dependencies, and write SBOMs. Exit code 99 if the policy does not accept something.

    What is inspected: known vulnerabilities (only with --advisories), licences, sizes, imports, duplicates.
    """
    from cli.actions.audit.deps.audit import audit_deps  # noqa: PLC0415 - not needed for help

    command = shlex.join(["esq", *sys.argv[1:]])
    report, page = audit_deps(advisories, command, output.progress_reporter(as_json=json))
    if json:
        output.print_json({**report.model_dump(mode="json"), "page": page})
    else:
        _print_deps(report, page)
    if report.violations:
        raise typer.Exit(ExitCode.SLO_VIOLATED)


def _print_deps(report: DepsReport, page: Path) -> None:
    table = output.table("part", "packages", "MB", "limit")
    for part in report.parts:
        sizes = ("" if value is None else f"{value:.0f}" for value in (part.megabytes, part.max_megabytes))
        table.add_row(part.name, str(part.components), *sizes)
    output.print_table(table)
    console = output.console()
    for text in report.violations:
        console.print(f"[red]✗[/] {text}")
    console.print(f"Known vulnerabilities: {report.advisories.status}")
    if report.advisories.unchecked_ecosystems:
        console.print(f"Not checked: {', '.join(report.advisories.unchecked_ecosystems)}")
    console.print(f"Report and SBOMs: {page}", soft_wrap=True)
