"""`esq campaign send`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.output import AsJson, Kubeconfig  # noqa: TC001 - Typer reads annotations
from infra.errors import BrokenPromiseError

if TYPE_CHECKING:
    from cli.actions.campaign import Order, Sent
    from infra.steps import Steps

app = typer.Typer(help="Send a campaign and hold the ledger against it.")

Env = Annotated[str, typer.Option("--env", help="The environment.")]
Company = Annotated[str, typer.Option(help="Whose campaign it is.")]
Contacts = Annotated[Path, typer.Option(help="CSV file with a column `phone` and, if you like, `name`.")]
Text = Annotated[Path, typer.Option(help="Text file; `{name}` becomes each contact's name.")]
Connection = Annotated[str, typer.Option(help="Name of the company's number that sends it.")]
Rate = Annotated[float | None, typer.Option(help="Messages per second that the number is granted.")]
Timeout = Annotated[float, typer.Option(help="Seconds after which to stop following.")]


@app.callback()
def campaign() -> None:
    """Campaigns."""


@app.command()
def send(  # noqa: PLR0913 - one per option
    *,
    company: Company,
    contacts: Contacts,
    text: Text,
    env: Env = "local",
    connection: Connection = "main",
    rate: Rate = None,
    timeout: Timeout = 600.0,
    kubeconfig: Kubeconfig = None,
    json: AsJson = False,
) -> None:
    """Import contacts, send them a text, follow it, and compare with what was really received.

    Cut off, the same command continues the same campaign. Exit code 99 when a message was lost or sent twice.
    """
    from cli.actions import campaign as action  # noqa: PLC0415 - imports HTTP client and SDK

    order = action.Order(contacts, text, connection, rate)
    action.check(order, company)
    steps = output.steps(as_json=json)
    sent = _send(order, env, company, timeout, kubeconfig, steps)
    if json:
        output.print_json({"environment": env, **sent.report(), "steps": output.timings(steps)})
    else:
        _tell(sent)
    if sent.verdict.kept:
        return
    if json:
        raise typer.Exit(BrokenPromiseError.exit_code)
    raise BrokenPromiseError(
        f"{sent.verdict.lost} lost, {sent.verdict.duplicated} duplicated of {sent.planned}",
        where=f"campaign {sent.campaign}",
        remedy="Keep the cluster as it is and look into the logs of whatsapp-dispatcher.",
    )


def _send(  # noqa: PLR0913, PLR0917 - what the command was given
    order: Order, env: str, company: str, timeout: float, kubeconfig: Path | None, steps: Steps
) -> Sent:
    from cli.actions import campaign as action  # noqa: PLC0415 - see above
    from cli.actions.doors import through_the_edge  # noqa: PLC0415 - see above
    from cli.environment import find  # noqa: PLC0415 - see above

    environment = find(env, kubeconfig=kubeconfig)
    with through_the_edge(environment, company, action.deadline(timeout), steps) as edge:
        return action.send(order, edge, environment.folder / "campaigns", steps)


def _tell(sent: Sent) -> None:
    for row in sent.rejected:
        typer.echo(f"  line {row['line']} rejected: {row['reason']}")
    if len(sent.rejected) < sent.rejected_total:
        typer.echo(f"  and {sent.rejected_total - len(sent.rejected)} more")
    begun = "continued" if sent.continued else "sent"
    pace = f", {sent.planned / sent.seconds:.0f} messages/s" if sent.seconds > 0 else ""
    typer.echo(f"Campaign {sent.campaign} {begun}: {sent.planned} messages in {sent.seconds:.1f} s{pace}")
    for state, count in sent.counts.items():
        if count:
            typer.echo(f"  {state:<10} {count}")
    verdict = sent.verdict
    typer.echo(f"Ledger: {verdict.lost} lost, {verdict.duplicated} duplicated, {verdict.uncertain} uncertain")
