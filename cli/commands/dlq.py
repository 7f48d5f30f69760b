"""`esq dlq list | show | replay | discard`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.output import AsJson, Env, Yes  # noqa: TC001 - Typer reads annotations
from infra.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

app = output.command_group("Dead letters: events that a service could not handle.")

Ids = Annotated[
    list[str],
    typer.Argument(
        metavar="ID...",
        help="Ids as `list` shows them, or prefixes: `campaigns`, `campaigns/message.status`.",
    ),
]


@app.callback()
def dlq() -> None:
    """Dead letters."""


@app.command("list")
def list_(env: Env, *, json: AsJson = False) -> None:
    """List the open dead letters (neither replayed nor discarded) with their reasons."""
    from cli.actions.dlq import list_dead_letters  # noqa: PLC0415 - imports the Kubernetes client
    from cli.environment import load_environment  # noqa: PLC0415 - help needs none of it

    result = list_dead_letters(load_environment(env), output.progress_reporter(as_json=True))
    if json:
        output.print_json({"environment": env, **result})
        return
    from rich.markup import escape  # noqa: PLC0415 - not needed for JSON

    table = output.table("id", "reason", "attempts", "first failure", "event", "detail")
    for dead_letter in result["dead_letters"]:
        table.add_row(
            dead_letter["id"],
            dead_letter["reason"],
            str(dead_letter["attempts"]),
            dead_letter["failed_at"],
            dead_letter["event"] or "?",
            escape(dead_letter["detail"]),
        )
    if result["dead_letters"]:
        output.print_table(table)
    _print_total(result, len(result["dead_letters"]))
    for count in result["counts"]:
        typer.echo(f"  {count['consumer']}/{count['topic']}: {count['dead_letters']}")


@app.command()
def show(env: Env, ids: Ids, *, json: AsJson = False) -> None:
    """Show dead letters in full, without message texts and phone numbers."""
    result = _run_job(env, ["show", *ids], as_json=json)
    if json:
        output.print_json({"environment": env, **result})
        return
    import yaml  # noqa: PLC0415 - only here

    typer.echo(yaml.safe_dump_all(result["dead_letters"], sort_keys=False, allow_unicode=True).rstrip())
    _print_total(result, len(result["dead_letters"]))


@app.command()
def replay(env: Env, ids: Ids, *, json: AsJson = False) -> None:
    """Return dead letters to the consumer that failed. Effects that were already applied are not repeated."""
    _resolve(env, ["replay", *ids], "Replayed", as_json=json)


@app.command()
def discard(env: Env, ids: Ids, *, yes: Yes = False, json: AsJson = False) -> None:
    """Discard dead letters; their events are never handled. Asks for confirmation unless --yes is given."""
    if not yes:
        if json:
            raise UsageError(
                "discarding requires confirmation",
                location="esq dlq discard",
                remedy=f"Check with `esq dlq show {env} {' '.join(ids)}`, then repeat with --yes.",
            )
        typer.confirm(f"Discard every dead letter at {', '.join(ids)}?", abort=True)
    _resolve(env, ["discard", *ids], "Discarded", as_json=json)


def _resolve(env: str, args: Sequence[str], verb: str, *, as_json: bool) -> None:
    result = _run_job(env, args, as_json=as_json)
    if as_json:
        output.print_json({"environment": env, **result})
        return
    for dead_letter_id in result["ids"]:
        typer.echo(f"  {dead_letter_id}")
    typer.echo(f"{verb}: {result['total']}")


def _run_job(env: str, args: Sequence[str], *, as_json: bool) -> dict[str, Any]:
    from cli.actions.dlq import run_dlq_job  # noqa: PLC0415 - imports the Kubernetes client
    from cli.environment import load_environment  # noqa: PLC0415 - help needs none of it

    environment = load_environment(env)
    return run_dlq_job(environment, args, output.progress_reporter(as_json=as_json))


def _print_total(result: dict[str, Any], shown_count: int) -> None:
    suffix = "" if shown_count == result["total"] else f", {shown_count} of them shown"
    typer.echo(f"Dead letters: {result['total']}{suffix}")
