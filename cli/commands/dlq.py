"""`esq dlq list | show | replay | drop`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.output import AsJson, Env, Kubeconfig, Yes  # noqa: TC001 - Typer reads annotations
from infra.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

app = typer.Typer(help="Dead letters: events that a service could not handle, and what to do with them.")

Letters = Annotated[
    list[str],
    typer.Argument(
        metavar="LETTER...",
        help="Ids as `list` shows them, or beginnings: `campaigns`, `campaigns/message.status`.",
    ),
]


@app.callback()
def dlq() -> None:
    """Dead letters."""


@app.command("list")
def listing(env: Env, kubeconfig: Kubeconfig = None, *, json: AsJson = False) -> None:
    """Show the dead letters that are neither replayed nor dropped, and why each died."""
    told = _ask(env, kubeconfig, ["list"], as_json=json)
    if json:
        output.print_json({"environment": env, **told})
        return
    table = output.table("letter", "reason", "attempts", "failed first", "event", "detail")
    for each in told["letters"]:
        table.add_row(
            each["id"],
            each["reason"],
            str(each["attempts"]),
            each["failed_at"],
            each["event"] or "?",
            each["detail"],
        )
    _print(table, told)


@app.command()
def show(env: Env, letters: Letters, kubeconfig: Kubeconfig = None, *, json: AsJson = False) -> None:
    """Show all that is known of letters, but texts and phone numbers."""
    told = _ask(env, kubeconfig, ["show", *letters], as_json=json)
    if json:
        output.print_json({"environment": env, **told})
        return
    import yaml  # noqa: PLC0415 - only here

    typer.echo(yaml.safe_dump_all(told["letters"], sort_keys=False, allow_unicode=True).rstrip())
    _count(told, len(told["letters"]))


@app.command()
def replay(env: Env, letters: Letters, kubeconfig: Kubeconfig = None, *, json: AsJson = False) -> None:
    """Give letters back to the service that could not handle them; what had its effect has none again."""
    _settle(env, kubeconfig, ["replay", *letters], "Replayed", as_json=json)


@app.command()
def drop(
    env: Env, letters: Letters, kubeconfig: Kubeconfig = None, *, yes: Yes = False, json: AsJson = False
) -> None:
    """Give letters up: their events never have an effect. Asks first, unless `--yes` is given."""
    if not yes:
        if json:
            raise UsageError(
                "dropping has to be meant",
                location="esq dlq drop",
                remedy="Give --yes; `esq dlq show` first.",
            )
        typer.confirm(f"Drop every dead letter at {', '.join(letters)}?", abort=True)
    _settle(env, kubeconfig, ["drop", *letters], "Dropped", as_json=json)


def _settle(env: str, kubeconfig: Path | None, words: Sequence[str], done: str, *, as_json: bool) -> None:
    told = _ask(env, kubeconfig, words, as_json=as_json)
    if as_json:
        output.print_json({"environment": env, **told})
        return
    for each in told["ids"]:
        typer.echo(f"  {each}")
    typer.echo(f"{done}: {told['total']}")


def _ask(env: str, kubeconfig: Path | None, words: Sequence[str], *, as_json: bool) -> dict[str, Any]:
    from cli.actions import dlq as action  # noqa: PLC0415 - imports the Kubernetes client
    from cli.environment import find  # noqa: PLC0415 - see above

    return action.ask(find(env, kubeconfig=kubeconfig), words, output.steps(as_json=as_json))


def _print(table: Any, told: dict[str, Any]) -> None:  # noqa: ANN401 - rich's, which machines do without
    if told["letters"]:
        from rich.console import Console  # noqa: PLC0415 - same

        Console().print(table)
    _count(told, len(told["letters"]))
    for each in told["counts"]:
        typer.echo(f"  {each['consumer']}/{each['topic']}: {each['letters']}")


def _count(told: dict[str, Any], shown: int) -> None:
    more = "" if shown == told["total"] else f", {shown} of them shown"
    typer.echo(f"Dead letters: {told['total']}{more}")
