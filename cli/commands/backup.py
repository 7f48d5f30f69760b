"""`esq backup now | list | drill | restore | rebuild`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.output import AsJson, Env, Kubeconfig, Yes  # noqa: TC001 - Typer reads annotations
from infra.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from cli.environment import Environment
    from infra.progress import ProgressReporter

app = typer.Typer(help="Backups that are known to restore: take, list, try, restore, rebuild.")

Full = Annotated[
    bool, typer.Option("--full", help="A full one instead of what changed since the last full one.")
]
To = Annotated[
    str | None,
    typer.Option(
        "--to", metavar="TIME", help="`latest`, a time (ISO 8601, UTC by default), or a backup's label."
    ),
]
InPlace = Annotated[
    bool, typer.Option("--in-place", help="Set the running database back; without it, restore beside it.")
]
Remove = Annotated[
    bool, typer.Option("--remove", help="Take the restored database beside the running one away again.")
]
Confirm = Annotated[
    str | None, typer.Option(metavar="NAME", help="The environment's name, for those who cannot be asked.")
]

FAILED = 1


@app.callback()
def backup() -> None:
    """Backups."""


@app.command()
def now(env: Env, kubeconfig: Kubeconfig = None, *, full: Full = False, json: AsJson = False) -> None:
    """Take a backup now, into every repository."""
    from cli.actions import backup as action  # noqa: PLC0415 - imports the Kubernetes client

    steps = output.steps(as_json=json)
    told = action.now(_find(env, kubeconfig), steps, full=full)
    if json:
        output.print_json({"environment": env, **told, "steps": output.timings(steps)})
        return
    for each in told["backups"]:
        typer.echo(f"  {each['label']}  repository {each['repository']}  {_size(each['size'])}")


@app.command("list")
def listing(env: Env, kubeconfig: Kubeconfig = None, *, json: AsJson = False) -> None:
    """Show which backups there are, which moments can be restored, and how the last drill went."""
    from cli.actions import backup as action  # noqa: PLC0415 - imports the Kubernetes client

    found = action.listed(_find(env, kubeconfig), output.steps(as_json=True))
    if json:
        output.print_json({"environment": env, **found})
        return
    for each in found["backups"]:
        line = f"{each['ended']}  {each['kind']:4}  repository {each['repository']}  {_size(each['size']):>9}"
        typer.echo(f"{line} (+{_size(each['stored'])})  {each['label']}")
    if found["first_moment"] is not None:
        typer.echo(f"Any moment from {found['first_moment']} to {found['archived_at']} can be restored.")
    typer.echo(f"Backups: {found['summary']}")
    for trouble in found["troubles"]:
        typer.echo(f"  ! {trouble}")


@app.command()
def drill(env: Env, kubeconfig: Kubeconfig = None, *, json: AsJson = False) -> None:
    """Restore the latest state and a random second into scratch space, check both; exit code 1 on a fault."""
    from cli.actions import backup as action  # noqa: PLC0415 - imports the Kubernetes client

    steps = output.steps(as_json=json)
    told = action.drill(_find(env, kubeconfig), steps)
    if json:
        output.print_json({"environment": env, **told, "steps": output.timings(steps)})
    else:
        _show_drill(told)
    if not told["good"]:
        raise typer.Exit(FAILED)


@app.command()
def restore(  # noqa: PLR0913 - one per option
    env: Env,
    to: To = None,
    kubeconfig: Kubeconfig = None,
    *,
    in_place: InPlace = False,
    remove: Remove = False,
    confirm: Confirm = None,
    json: AsJson = False,
) -> None:
    """Restore a moment beside the running database or, when that is confirmed by name, in its place.

    In place everything written after that moment is lost; what is there is backed up first. A restore that
    was cut off goes on when the same command is given again.
    """
    _one_of(env, to, remove=remove, in_place=in_place)
    if in_place:
        _must_be_meant(env, confirm, as_json=json)
    steps = output.steps(as_json=json)
    told = _restore(_find(env, kubeconfig), to or "", steps, in_place=in_place, remove=remove)
    if json:
        output.print_json({"environment": env, **told, "steps": output.timings(steps)})
    elif in_place:
        typer.echo(f"`{env}` is as it was at `{to}`, after {told['seconds']:g} s.")
        if told["undo"]:
            typer.echo(f"To undo it: esq backup restore {env} --to {told['undo']} --in-place")
    elif not remove:
        typer.echo(
            f"Serving after {told['seconds']:g} s: {told['host']}, "
            f"database {told['database']}, with the same accounts."
        )
        typer.echo(f"Take it away with: esq backup restore {env} --remove")


def _restore(
    environment: Environment, to: str, steps: ProgressReporter, *, in_place: bool, remove: bool
) -> dict[str, Any]:
    from cli.actions import backup as action  # noqa: PLC0415 - imports the Kubernetes client

    if remove:
        return {"removed": action.remove(environment, steps)}
    if in_place:
        from cli.actions import restore as place  # noqa: PLC0415 - see above

        return place.in_place(environment, to, steps)
    return action.beside(environment, to, steps)


@app.command()
def rebuild(
    env: Env, to: To = None, kubeconfig: Kubeconfig = None, *, yes: Yes = False, json: AsJson = False
) -> None:
    """Bring back an environment that was lost, from its vault: zones, data, services, what was under way."""
    _must_be_able_to_ask(env, yes=yes, as_json=json)
    from cli.actions import rebuild as action  # noqa: PLC0415 - imports the whole SDK

    steps = output.steps(as_json=json)
    told = action.rebuild(_find(env, kubeconfig), to or "latest", steps)
    if json:
        output.print_json({"environment": env, **told, "steps": output.timings(steps)})
        return
    typer.echo(f"`{env}` is back after {told['seconds']:g} s, as it was at {told['restored_until']}.")
    typer.echo(f"{told['media_objects']} media objects, {told['requested_again']} messages requested again.")


def _find(env: str, kubeconfig: Path | None) -> Environment:
    from cli.environment import find  # noqa: PLC0415 - see above

    return find(env, kubeconfig=kubeconfig)


def _one_of(env: str, to: str | None, *, remove: bool, in_place: bool) -> None:
    if bool(to) == remove or (remove and in_place):
        raise UsageError(
            "say either which moment to restore, or that the restored database is to go",
            location="--to, --remove",
            remedy=f"E.g. `esq backup restore {env} --to latest`.",
        )


def _must_be_meant(env: str, confirm: str | None, *, as_json: bool) -> None:
    if confirm is None and sys.stdin.isatty() and not as_json:
        warning = f"Everything `{env}` has written since then will be gone from it. Type its name to go ahead"
        confirm = typer.prompt(warning, default="", show_default=False, err=True)
    if confirm != env:
        raise UsageError(
            "nothing was done: restoring in place has to be confirmed by the environment's name",
            location="--confirm",
            remedy=f"If that is meant: `--confirm {env}`.",
        )


def _must_be_able_to_ask(env: str, *, yes: bool, as_json: bool) -> None:
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        raise UsageError(
            "nobody can be asked whether to go ahead",
            location="--yes",
            remedy=f"If `{env}` is lost: `esq backup rebuild {env} --yes`.",
        )
    typer.confirm(f"Rebuild `{env}` from its vault?", abort=True, err=True)


def _show_drill(told: dict[str, Any]) -> None:
    for copy in told.get("copies", []):
        typer.echo(
            f"  {copy['wish']:30} from {copy['backup']} (repository {copy['repository']}): "
            f"{copy['rows']} rows in {copy['minutes']} minutes, {copy['pages']} pages, "
            f"{copy['rto_seconds']:g} s"
        )
    for fault in told["faults"]:
        typer.echo(f"  ! {fault}")
    if told["good"]:
        typer.echo(
            f"Good: RPO {told['rpo_seconds']:g} s, RTO {told['rto_seconds']:g} s, "
            f"{told['rows']} rows as they were recorded."
        )


def _size(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < _STEP:
            return f"{size:.0f} {unit}"
        size /= _STEP
    return f"{size:.1f} GiB"


_STEP = 1024
