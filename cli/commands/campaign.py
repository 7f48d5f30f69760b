"""`esq campaign send | list | show | start | pause | resume | cancel | export`."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from cli import output
from cli.output import AsJson, Env  # noqa: TC001 - Typer reads annotations
from infra.errors import ExitCode, SloViolatedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli.actions.send_campaign import SendRequest, SendResult
    from cli.platform_client import PlatformClient
    from infra.progress import ProgressReporter

app = output.command_group("Send campaigns and reconcile them with the ledger; operate and export campaigns.")

Company = Annotated[str, typer.Option(help="Company that owns the campaign.")]
Contacts = Annotated[Path, typer.Option(help="CSV file with a column `phone` and an optional column `name`.")]
Template = Annotated[Path, typer.Option(help="Text file; `{name}` is replaced with the name of the contact.")]
Connection = Annotated[str, typer.Option(help="Name of the company's WhatsApp number that sends it.")]
Rate = Annotated[float | None, typer.Option(help="Rate limit of the number, in messages per second.")]
Campaign = Annotated[UUID, typer.Argument(metavar="CAMPAIGN", help="Id, as `esq campaign list` shows it.")]
Limit = Annotated[int, typer.Option(help="Maximum number of campaigns.", min=1, max=10_000)]
Out = Annotated[Path | None, typer.Option(help="File to write; standard output by default.")]
Timeout = Annotated[float, typer.Option(help="Seconds after which to stop waiting for the campaign.")]

STATE_CHANGES = {
    "start": "Start a draft, or a scheduled campaign before its time.",
    "pause": "Stop queueing messages. Queued messages return to pending within seconds.",
    "resume": "Resume a paused campaign; no message is sent twice.",
    "cancel": "Cancel a campaign permanently.",
}
REQUEST_TIMEOUT_SECONDS = 30.0
EXPORT_TIMEOUT_SECONDS = 600.0
ID_LENGTH = 36
"""Ids are shown in full on any terminal width: other commands take them as arguments."""


@app.callback()
def campaign() -> None:
    """Campaigns."""


@app.command()
def send(  # noqa: PLR0913 - one per option
    env: Env,
    *,
    company: Company,
    contacts: Contacts,
    template: Template,
    connection: Connection = "main",
    rate: Rate = None,
    timeout: Timeout = 600.0,
    json: AsJson = False,
) -> None:
    """Import contacts, send them a message, wait for the end, and reconcile with the ledger.

    An interrupted command continues the same campaign when repeated. Exit code 99 when a message was lost or
    duplicated.
    """
    from cli.actions.send_campaign import SendRequest, validate  # noqa: PLC0415 - imports HTTP client and SDK

    request = SendRequest(contacts, template, connection, rate)
    validate(request, company)
    progress = output.progress_reporter(as_json=json)
    result = _send(request, env, company, timeout, progress)
    if json:
        output.print_json({"environment": env, **result.to_dict(), "steps": output.timings(progress)})
    else:
        _print_result(result)
    if result.reconciliation.passed:
        return
    if json:
        raise typer.Exit(ExitCode.SLO_VIOLATED)
    raise SloViolatedError(
        f"{result.reconciliation.lost} lost, {result.reconciliation.duplicated} duplicated "
        f"of {result.planned} messages",
        location=f"campaign {result.campaign}",
        remedy="Keep the cluster unchanged and check the logs of whatsapp-dispatcher.",
    )


@app.command("list")
def list_(env: Env, *, company: Company, limit: Limit = 20, json: AsJson = False) -> None:
    """List the campaigns of a company, newest first."""
    from cli.actions.campaign_admin import list_campaigns  # noqa: PLC0415 - help needs none of it

    with _open_client(env, company, output.progress_reporter(as_json=json)) as client:
        campaigns = list_campaigns(client, limit)
    if json:
        output.print_json({"environment": env, "campaigns": campaigns})
    else:
        _print_table(campaigns)


@app.command()
def show(env: Env, campaign: Campaign, *, company: Company, json: AsJson = False) -> None:
    """Show the progress of a campaign."""
    from cli.actions.campaign_admin import get_campaign  # noqa: PLC0415 - help needs none of it

    with _open_client(env, company, output.progress_reporter(as_json=json)) as client:
        progress = get_campaign(client, str(campaign))
    _print_campaign(progress, env, as_json=json)


@app.command()
def export(env: Env, campaign: Campaign, *, company: Company, out: Out = None) -> None:
    """Export the state of every message as CSV."""
    from cli.actions.campaign_admin import export_messages  # noqa: PLC0415 - help needs none of it

    progress = output.progress_reporter(as_json=out is None)
    with _open_client(env, company, progress, EXPORT_TIMEOUT_SECONDS) as client:
        if out is None:
            export_messages(client, str(campaign), sys.stdout)
            return
        with out.open("w", encoding="utf-8", newline="") as file:
            row_count = export_messages(client, str(campaign), file)
    typer.echo(f"{row_count} messages exported to {out}")


def _state_change_command(action: str) -> Callable[..., None]:
    """Return the command of one state change; the commands differ in nothing else."""

    def command(env: Env, campaign: Campaign, *, company: Company, json: AsJson = False) -> None:
        """Change the state of a campaign. See `STATE_CHANGES`; Args: the options of the command line."""
        from cli.actions.campaign_admin import change_state  # noqa: PLC0415 - help needs none of it

        with _open_client(env, company, output.progress_reporter(as_json=json)) as client:
            progress = change_state(client, str(campaign), action)
        _print_campaign(progress, env, as_json=json)

    return command


for _action, _help in STATE_CHANGES.items():
    app.command(_action, help=_help)(_state_change_command(_action))


@contextmanager
def _open_client(
    env: str,
    company: str,
    progress: ProgressReporter,
    timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
) -> Iterator[PlatformClient]:
    from cli.actions.platform_access import open_platform_client  # noqa: PLC0415 - help needs none of it
    from cli.environment import load_environment  # noqa: PLC0415 - same

    environment = load_environment(env)
    with open_platform_client(environment, company, timeout_seconds, progress) as client:
        yield client


def _print_campaign(progress: dict[str, Any], env: str, *, as_json: bool) -> None:
    if as_json:
        output.print_json({"environment": env, **progress})
    else:
        _print_table([progress])


def _details(progress: dict[str, Any]) -> Iterator[str]:
    """Yield counts of messages, schedule, failure and status reason of a campaign, one line each."""
    total = "" if progress["total"] in {None, progress["planned"]} else f" of {progress['total']}"
    yield f"{progress['planned']}{total}"
    yield from (f"{count} {state}" for state, count in progress["counts"].items() if count)
    if progress["run"]:
        yield f"run {progress['run']}"
    if progress["state"] == "scheduled":
        yield f"starts {progress['start_at']}"
    yield from filter(None, (progress["failure"], progress["status_reason"]))


def _print_table(campaigns: list[dict[str, Any]]) -> None:
    table = output.table("campaign", "name", "state", "messages")
    table.columns[0].no_wrap, table.columns[0].min_width = True, ID_LENGTH
    for progress in campaigns:
        table.add_row(progress["id"], progress["name"], progress["state"], "\n".join(_details(progress)))
    output.print_table(table)


def _send(
    request: SendRequest,
    env: str,
    company: str,
    timeout: float,
    progress: ProgressReporter,
) -> SendResult:
    from cli.actions.platform_access import require_simulator  # noqa: PLC0415 - imports HTTP client and SDK
    from cli.actions.send_campaign import send_campaign  # noqa: PLC0415 - same
    from cli.environment import load_environment  # noqa: PLC0415 - help needs none of it

    environment = load_environment(env)
    require_simulator(environment)
    keys_dir = environment.folder / "campaigns"
    with _open_client(env, company, progress, timeout) as client:
        return send_campaign(request, client, keys_dir, progress)


def _print_result(result: SendResult) -> None:
    for row in result.rejected:
        typer.echo(f"  line {row['line']} rejected: {row['reason']}")
    if len(result.rejected) < result.rejected_total:
        typer.echo(f"  and {result.rejected_total - len(result.rejected)} more")
    verb = "continued" if result.continued else "sent"
    rate = f", {result.planned / result.seconds:.0f} messages/s" if result.seconds > 0 else ""
    typer.echo(
        f"Campaign {result.campaign} {verb}: {result.planned} messages in {result.seconds:.1f} s{rate}"
    )
    for state, count in result.counts.items():
        if count:
            typer.echo(f"  {state:<10} {count}")
    counts = ", ".join(f"{count} {name}" for name, count in vars(result.reconciliation).items())
    typer.echo(f"Ledger: {counts}")
