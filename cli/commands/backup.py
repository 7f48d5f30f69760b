"""`esq backup create | list | drill | restore | discard-clone`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.output import AsJson, Env, RecoveryTarget  # noqa: TC001 - Typer reads annotations
from infra.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from cli.environment import Environment

app = output.command_group("Back up Postgres: create, list, verify and restore backups.")

Full = Annotated[bool, typer.Option("--full", help="Create a full backup instead of a differential one.")]
InPlace = Annotated[bool, typer.Option("--in-place", help="Restore the running database instead of a clone.")]
Confirm = Annotated[
    str | None,
    typer.Option(metavar="ENV", help="Name of the environment, to confirm without a terminal."),
]

_UNIT_STEP = 1024


@app.callback()
def backup() -> None:
    """Backups."""


@app.command()
def create(env: Env, *, full: Full = False, json: AsJson = False) -> None:
    """Create a backup in every repository."""
    from cli.actions import backup as action  # noqa: PLC0415 - imports the Kubernetes client

    progress = output.progress_reporter(as_json=json)
    result = action.create_backup(_environment(env), progress, full=full)
    if json:
        output.print_json({"environment": env, **result, "steps": output.timings(progress)})
        return
    for created in result["backups"]:
        typer.echo(
            f"  {created['label']}  repository {created['repository']}  "
            f"{_format_size(created['database_bytes'])}"
        )


@app.command("list")
def list_(env: Env, *, json: AsJson = False) -> None:
    """List backups, the range of restorable points in time, and the result of the last drill."""
    from cli.actions import backup as action  # noqa: PLC0415 - imports the Kubernetes client

    result = action.list_backups(_environment(env), output.progress_reporter(as_json=True))
    if json:
        output.print_json({"environment": env, **result})
        return
    table = output.table("label", "finished", "repository", "size")
    for entry in result["backups"]:
        size = _format_size(entry["database_bytes"])
        table.add_row(entry["label"], _format_time(entry["finished_at"]), str(entry["repository"]), size)
    if result["backups"]:
        output.print_table(table)
    if result["restorable_from"] is not None:
        first, last = _format_time(result["restorable_from"]), _format_time(result["last_archived_at"])
        typer.echo(f"Restorable: any point in time from {first} to {last}.")
    typer.echo(f"Backups: {result['summary']}")
    for problem in result["problems"]:
        typer.echo(f"  ! {problem}")


@app.command()
def drill(env: Env, *, json: AsJson = False) -> None:
    """Restore the latest state and a random second to scratch volumes, and verify both.

    Exit code 1 when the verification fails.
    """
    from cli.actions import backup as action  # noqa: PLC0415 - imports the Kubernetes client

    progress = output.progress_reporter(as_json=json)
    result = action.run_drill(_environment(env), progress)
    if json:
        output.print_json({"environment": env, **result, "steps": output.timings(progress)})
    else:
        _print_drill(result)
    if not result["succeeded"]:
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def restore(
    env: Env,
    target: RecoveryTarget,
    *,
    in_place: InPlace = False,
    confirm: Confirm = None,
    json: AsJson = False,
) -> None:
    """Restore a point in time to a clone or, with --in-place, over the running database.

    An in-place restore loses everything that was written after that point. It first creates a backup of the
    current state. An interrupted restore resumes with the same command.
    """
    if in_place:
        _require_confirmation(env, confirm, as_json=json)
    progress = output.progress_reporter(as_json=json)
    environment = _environment(env)
    if in_place:
        from cli.actions.restore import restore_in_place  # noqa: PLC0415 - imports the Kubernetes client

        result = restore_in_place(environment, target, progress)
    else:
        from cli.actions.backup import restore_clone  # noqa: PLC0415 - imports the Kubernetes client

        result = restore_clone(environment, target, progress)
    if json:
        output.print_json({"environment": env, **result, "steps": output.timings(progress)})
    elif in_place:
        typer.echo(f"`{env}` is restored to `{target}` after {result['seconds']:g} s.")
        if result["undo"]:
            typer.echo(f"To undo: esq backup restore {env} --target {result['undo']} --in-place")
    else:
        typer.echo(
            f"Clone ready after {result['seconds']:g} s: {result['host']}, "
            f"database {result['database']}, same credentials as the running database."
        )
        typer.echo(f"To discard it: esq backup discard-clone {env}")


@app.command("discard-clone")
def discard_clone(env: Env, *, json: AsJson = False) -> None:
    """Delete the restored clone."""
    from cli.actions import backup as action  # noqa: PLC0415 - imports the Kubernetes client

    progress = output.progress_reporter(as_json=json)
    removed = action.discard_clone(_environment(env), progress)
    if json:
        output.print_json({"environment": env, "removed": removed, "steps": output.timings(progress)})


def _environment(env: str) -> Environment:
    from cli.environment import load_environment  # noqa: PLC0415 - help needs none of it

    return load_environment(env)


def _require_confirmation(env: str, confirm: str | None, *, as_json: bool) -> None:
    if confirm is None and sys.stdin.isatty() and not as_json:
        warning = f"Everything that `{env}` wrote after that point will be lost. Type its name to continue"
        confirm = typer.prompt(warning, default="", show_default=False, err=True)
    if confirm != env:
        raise UsageError(
            "not confirmed: an in-place restore requires the name of the environment",
            location="--confirm",
            remedy=f"To confirm: `--confirm {env}`.",
        )


def _print_drill(result: dict[str, Any]) -> None:
    for copy in result.get("copies", []):
        typer.echo(
            f"  {copy['target']:30} from {copy['backup']} (repository {copy['repository']}): "
            f"{copy['rows_compared']} rows in {copy['minutes_compared']} minutes, "
            f"{copy['pages_verified']} pages, "
            f"{copy['rto_seconds']:g} s"
        )
    for problem in result["problems"]:
        typer.echo(f"  ! {problem}")
    if result["succeeded"]:
        typer.echo(
            f"Passed: RPO {result['rpo_seconds']:g} s, RTO {result['rto_seconds']:g} s, "
            f"{result['rows_compared']} rows match their recorded checksums."
        )


def _format_time(time: object) -> str:
    """Return an ISO time in seconds, as `--target` accepts it; it takes half the width."""
    return f"{str(time).replace(' ', 'T')[:19]}Z" if time else "?"


def _format_size(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < _UNIT_STEP:
            return f"{size:.0f} {unit}"
        size /= _UNIT_STEP
    return f"{size:.1f} GiB"
