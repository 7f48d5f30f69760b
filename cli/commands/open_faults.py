"""`esq chaos status | rollback`."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import typer

from cli import output
from cli.output import AsJson, Env  # noqa: TC001 - Typer reads annotations
from infra.errors import ExitCode

if TYPE_CHECKING:
    from cli.actions.open_faults import FaultStatus, JournalStatus

app = output.command_group()


@app.command()
def status(env: Env, *, json: AsJson = False) -> None:
    """Show the run in progress and all open faults.

    Exit code 1 if a fault is left: its run has ended, its time is over, or its undo failed.
    """
    from cli.actions import open_faults  # noqa: PLC0415 - not needed for help
    from cli.environment import load_environment  # noqa: PLC0415 - same

    journal = open_faults.journal_status(open_faults.open_journal(load_environment(env)))
    if json:
        output.print_json({"environment": env, **journal.to_dict()})
    else:
        _print_status(env, journal)
    if journal.needs_rollback:
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def rollback(env: Env, *, json: AsJson = False) -> None:
    """Undo every fault that an experiment left open. Exit code 1 if one remains."""
    from chaos.journal import UndoFailedError  # noqa: PLC0415 - not needed for help
    from cli.actions import open_faults  # noqa: PLC0415 - same
    from cli.environment import load_environment  # noqa: PLC0415 - same

    journal = open_faults.open_journal(load_environment(env))
    try:
        undone = open_faults.rollback(journal, output.progress_reporter(as_json=json))
    except UndoFailedError as error:
        if not json:
            for open_fault in error.undone:
                typer.echo(f"undone: {open_fault.fault}")
            raise
        undone = list(error.undone)
    state = open_faults.journal_status(journal)
    if json:
        faults = [str(open_fault.fault) for open_fault in undone]
        output.print_json({"environment": env, "undone": faults, **state.to_dict()})
    elif state.run:
        typer.echo(f"{state.run} goes on and may inject again. To end it: kill -INT {state.run.owner.pid}")
    if state.needs_rollback:
        raise typer.Exit(ExitCode.FAILED)


def _print_status(env: str, journal: JournalStatus) -> None:
    typer.echo(f"run       {journal.run or 'none on this machine'}")
    typer.echo(f"watchdog  {'running' if journal.is_watched else 'not running'}")
    typer.echo(f"faults    {len(journal.faults)} open")
    for fault in journal.faults:
        typer.echo("\n".join(["", *_fault_lines(fault)]))
    for problem in journal.problems:
        typer.echo(f"\n{problem.location}\n  {problem.message}\n  {problem.remedy}")
    if journal.needs_rollback:
        typer.echo(f"\nTo undo all faults: esq chaos rollback {env}")


def _fault_lines(fault: FaultStatus) -> list[str]:
    entry = fault.entry
    since = f"{dt.datetime.fromtimestamp(entry.opened_at, dt.UTC):%Y-%m-%d %H:%M:%SZ}"
    owner = f"process {entry.owner.pid}, {'running' if fault.owner_alive else 'ended'}"
    lines = [
        str(entry.fault),
        f"  state    {entry.state} since {since} ({fault.age_seconds:.0f} s)",
        f"  run      {entry.experiment} ({owner})",
    ]
    if entry.undo_failures:
        lines.append(f"  failed   {entry.undo_failures} times; next attempt in {fault.retry_seconds:.0f} s")
        lines += [f"           {line}" for line in entry.undo_error.splitlines()]
    elif not fault.is_left:
        lines.append(f"  expires  in {fault.expires_seconds:.0f} s")
    return [*lines, "  undo commands:", *(f"    {line}" for line in fault.undo.splitlines())]
