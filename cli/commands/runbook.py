"""`esq runbook list | show | check`; the others are in `runbook_runs` and `triage`."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.commands import runbook_runs, triage
from cli.commands.runbook_runs import Name  # noqa: TC001 - Typer reads annotations
from cli.output import AsJson  # noqa: TC001 - Typer reads annotations
from infra.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.actions.runbook_check import RunbookReport
    from runbooks.page import Runbook

app = output.command_group("Runbooks: one page for each alert, and its steps.")

_MAX_TEXT_COLUMNS = 100
_MAX_RUNS = 20
"""Runs in the table, the newest ones."""
OptionalEnv = Annotated[str | None, typer.Argument(metavar="ENV", help="Name of an environment.")]


@app.command("list")
def list_runbooks(env: OptionalEnv = None, *, json: AsJson = False) -> None:
    """List the runbooks with their last rehearsals; with an environment, its runs instead."""
    if env:
        _list_runs(env, as_json=json)
        return
    from runbooks import page  # noqa: PLC0415 - not needed for help
    from runbooks.rehearsals import rehearsal_text  # noqa: PLC0415 - same

    runbooks, today = [page.load(name) for name in page.names()], _today()
    if json:
        rows = [
            {"name": item.name, "title": item.title, **item.front_matter.model_dump(mode="json")}
            for item in runbooks
        ]
        output.print_json({"runbooks": rows, "procedures": page.procedures()})
        return
    table = output.table("runbook", "severity", "rehearsed", "experiment")
    for item in runbooks:
        fields = item.front_matter
        table.add_row(item.name, fields.severity, rehearsal_text(fields, today), fields.experiment or "")
    output.print_table(table, wraps_last=True)
    typer.echo(f"procedures  {', '.join(page.procedures())}")


def _list_runs(env: str, *, as_json: bool) -> None:
    from cli.actions.runbook_run import run_store  # noqa: PLC0415 - not needed for help
    from cli.environment import load_environment  # noqa: PLC0415 - same

    records = run_store(load_environment(env)).records()
    if as_json:
        rows = [{**record.model_dump(mode="json"), "state": record.state} for record in records]
        output.print_json({"environment": env, "runs": rows})
        return
    table = output.table("started", "runbook", "state", "steps", "alerts")
    for record in records[-_MAX_RUNS:]:
        alerts = ", ".join(dict.fromkeys(alert.name for alert in record.alerts))
        table.add_row(
            f"{record.started_at:%m-%d %H:%M}", record.runbook, record.state, record.progress, alerts
        )
    output.print_table(table, wraps_last=True)


@app.command()
def show(name: Name, env: OptionalEnv = None, *, json: AsJson = False) -> None:
    """Show a runbook, with the names of an environment filled in: kubeconfig, address, commands."""
    from cli.actions.runbook_pages import UNFILLED, environment_values, find_page, page_text  # noqa: PLC0415 - same
    from cli.markdown_text import wrap  # noqa: PLC0415 - same
    from runbooks import page  # noqa: PLC0415 - same

    found_page = find_page(name)
    values = environment_values(env) if env else UNFILLED
    text = page_text(found_page, values)
    runbook = page.load(found_page) if found_page in page.names() else None
    if json:
        fields = runbook.front_matter.model_dump(mode="json") if runbook else {}
        output.print_json({"name": found_page, "environment": env, **fields, "text": text})
        return
    if runbook:
        output.print_rows(_summary(runbook))
        typer.echo()
    typer.echo(wrap(text, min(output.console().width, _MAX_TEXT_COLUMNS)), nl=False)


def _summary(runbook: Runbook) -> Iterator[tuple[str, str]]:
    from chaos import experiment  # noqa: PLC0415 - not needed for help
    from runbooks.rehearsals import rehearsal_text  # noqa: PLC0415 - same

    fields = runbook.front_matter
    causes = [name for name in experiment.names() if experiment.load(name).extension.runbook == runbook.name]
    rehearsing = [fields.experiment] if fields.experiment else []
    yield "alert", f"{fields.alert} ({fields.severity}, team {fields.owner})"
    yield "SLO", fields.slo or "none"
    yield "experiments", ", ".join(dict.fromkeys([*rehearsing, *causes])) or "none"
    yield "rehearsed", rehearsal_text(fields, _today())


app.add_typer(triage.app)


@app.command()
def check(*, json: AsJson = False) -> None:
    """Check that every alert has a true runbook. Exit code 99 when something must be repaired.

    Reports alerts without a runbook and runbooks without an alert, dead links, commands that do not parse,
    metrics that are not scraped, missing experiments and overdue rehearsals.
    """
    from cli.actions.runbook_check import check_runbooks  # noqa: PLC0415 - not needed for help
    from runbooks import page  # noqa: PLC0415 - same

    report = check_runbooks(page.RUNBOOKS_DIR, _today())
    if json:
        output.print_json(report.to_dict())
    else:
        _print_report(report)
    if report.problems:
        raise typer.Exit(ExitCode.SLO_VIOLATED)


def _print_report(report: RunbookReport) -> None:
    for problem in report.problems:
        typer.echo(f"✗ {problem}")
    for warning in report.warnings:
        typer.echo(f"! {warning}")
    typer.echo(
        f"{report.alerts} alerts, {report.runbooks} runbooks: {len(report.problems)} problems,"
        f" {len(report.warnings)} warnings"
    )


app.add_typer(runbook_runs.app)


def _today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()
