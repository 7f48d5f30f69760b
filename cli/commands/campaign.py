"""`esq campaign send | list | show | start | pause | resume | cancel | export`."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from cli import output
from cli.output import AsJson, Kubeconfig  # noqa: TC001 - Typer reads annotations
from infra.errors import SloViolatedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli.actions.campaign import Order, Sent
    from cli.edge import Edge
    from infra.progress import ProgressReporter

app = typer.Typer(help="Send campaigns and hold the ledger against them; hold, resume, cancel, export them.")

Env = Annotated[str, typer.Option("--env", help="The environment.")]
Company = Annotated[str, typer.Option(help="Whose campaign it is.")]
Contacts = Annotated[Path, typer.Option(help="CSV file with a column `phone` and, if you like, `name`.")]
Text = Annotated[Path, typer.Option(help="Text file; `{name}` becomes each contact's name.")]
Connection = Annotated[str, typer.Option(help="Name of the company's number that sends it.")]
Rate = Annotated[float | None, typer.Option(help="Messages per second that the number is granted.")]
Campaign = Annotated[
    UUID, typer.Argument(metavar="CAMPAIGN", help="Its id, as `esq campaign list` shows it.")
]
Most = Annotated[int, typer.Option(help="How many at most.", min=1, max=10_000)]
Out = Annotated[Path | None, typer.Option(help="File to write; standard output by default.")]
Timeout = Annotated[float, typer.Option(help="Seconds after which to stop following.")]


ACTIONS = {
    "start": "Start a draft, or a scheduled campaign before its time.",
    "pause": "Begin nothing more of it. What was begun goes out; what was not comes back within seconds.",
    "resume": "Go on where it was paused; nobody gets it twice.",
    "cancel": "Begin nothing more of it, for good.",
}
ANSWER_SECONDS = 30.0
EXPORT_SECONDS = 600.0
ID_CHARACTERS = 36
"""Shown whole, however narrow the terminal: the other commands ask for it."""


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
        raise typer.Exit(SloViolatedError.exit_code)
    raise SloViolatedError(
        f"{sent.verdict.lost} lost, {sent.verdict.duplicated} duplicated of {sent.planned}",
        location=f"campaign {sent.campaign}",
        remedy="Keep the cluster as it is and look into the logs of whatsapp-dispatcher.",
    )


@app.command("list")
def list_(
    *,
    company: Company,
    most: Most = 20,
    env: Env = "local",
    kubeconfig: Kubeconfig = None,
    json: AsJson = False,
) -> None:
    """Show a company's campaigns, the newest first."""
    from cli.actions import campaigns as action  # noqa: PLC0415 - help needs none of it

    with _edge(env, company, kubeconfig, output.steps(as_json=json)) as edge:
        found = action.latest(edge, most)
    if json:
        output.print_json({"environment": env, "campaigns": found})
    else:
        _print(found)


@app.command()
def show(
    campaign: Campaign,
    *,
    company: Company,
    env: Env = "local",
    kubeconfig: Kubeconfig = None,
    json: AsJson = False,
) -> None:
    """Show how far a campaign is."""
    from cli.actions import campaigns as action  # noqa: PLC0415 - help needs none of it

    with _edge(env, company, kubeconfig, output.steps(as_json=json)) as edge:
        found = action.show(edge, str(campaign))
    _show(found, env, as_json=json)


@app.command()
def export(
    campaign: Campaign,
    *,
    company: Company,
    out: Out = None,
    env: Env = "local",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Write what became of each message, as CSV."""
    from cli.actions import campaigns as action  # noqa: PLC0415 - help needs none of it

    with _edge(env, company, kubeconfig, output.steps(as_json=out is None), EXPORT_SECONDS) as edge:
        if out is None:
            action.export(edge, str(campaign), sys.stdout)
            return
        with out.open("w", encoding="utf-8", newline="") as file:
            written = action.export(edge, str(campaign), file)
    typer.echo(f"{written} messages in {out}")


def _acting(action: str) -> Callable[..., None]:
    """Return the command that asks for an action; they differ in nothing else."""

    def command(
        campaign: Campaign,
        *,
        company: Company,
        env: Env = "local",
        kubeconfig: Kubeconfig = None,
        json: AsJson = False,
    ) -> None:
        from cli.actions import campaigns  # noqa: PLC0415 - help needs none of it

        with _edge(env, company, kubeconfig, output.steps(as_json=json)) as edge:
            found = campaigns.act(edge, str(campaign), action)
        _show(found, env, as_json=json)

    return command


for _action, _help in ACTIONS.items():
    app.command(_action, help=_help)(_acting(_action))


@contextmanager
def _edge(
    env: str, company: str, kubeconfig: Path | None, steps: ProgressReporter, seconds: float = ANSWER_SECONDS
) -> Iterator[Edge]:
    from cli.actions.doors import through_the_edge  # noqa: PLC0415 - see above
    from cli.environment import find  # noqa: PLC0415 - see above

    with through_the_edge(find(env, kubeconfig=kubeconfig), company, seconds, steps) as edge:
        yield edge


def _show(found: dict[str, Any], env: str, *, as_json: bool) -> None:
    if as_json:
        output.print_json({"environment": env, **found})
    else:
        _print([found])


def _remarks(found: dict[str, Any]) -> Iterator[str]:
    """Yield what there is to say of a campaign's messages, and of what happened to it."""
    of = "" if found["total"] in {None, found["planned"]} else f" of {found['total']}"
    yield f"{found['planned']}{of}"
    yield from (f"{count} {state}" for state, count in found["counts"].items() if count)
    if found["run"]:
        yield f"run {found['run']}"
    if found["state"] == "scheduled":
        yield f"starts {found['at']}"
    yield from filter(None, (found["failure"], found["note"]))


def _print(found: list[dict[str, Any]]) -> None:
    from rich.console import Console  # noqa: PLC0415 - machines do without

    shown = output.table("campaign", "name", "state", "messages")
    shown.columns[0].no_wrap, shown.columns[0].min_width = True, ID_CHARACTERS
    for each in found:
        shown.add_row(each["id"], each["name"], each["state"], "\n".join(_remarks(each)))
    Console().print(shown)


def _send(  # noqa: PLR0913, PLR0917 - what the command was given
    order: Order, env: str, company: str, timeout: float, kubeconfig: Path | None, steps: ProgressReporter
) -> Sent:
    from cli.actions import campaign as action  # noqa: PLC0415 - see above
    from cli.environment import find  # noqa: PLC0415 - see above

    keys = find(env, kubeconfig=kubeconfig).folder / "campaigns"
    with _edge(env, company, kubeconfig, steps, timeout) as edge:
        return action.send(order, edge, keys, steps)


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
