"""`esq alerts list | silence | unsilence | test | rules | measure`."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.output import AsJson, Env  # noqa: TC001 - Typer reads annotations
from infra.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from cli.observability_client import ObservabilityClient

app = output.command_group(
    "Alerts of an environment: what fires, silences, rules, and a test of the receivers."
)

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of an alert, e.g. `PostgresDown`.")]
Duration = Annotated[str, typer.Option("--for", metavar="TIME", help="Duration: 30m, 2h or 1d.")]
Comment = Annotated[str, typer.Option("--comment", help="Why, for the next reader.")]


class Receivers(StrEnum):
    """Severities, which have different receivers."""

    PAGE = "page"
    TICKET = "ticket"


ReceiversOf = Annotated[Receivers, typer.Option("--severity", help="Whose receivers are tested.")]


@app.callback()
def alerts() -> None:
    """Alerts."""


@app.command("list")
def list_(env: Env, *, json: AsJson = False) -> None:
    """List what fires, with its runbook.

    Exit code 1 when a page fires that nothing suppresses, or when no alert can fire.
    """
    from cli.actions.alerts import alert_rows  # noqa: PLC0415 - not for help
    from cli.actions.observability_status import blindness  # noqa: PLC0415 - same

    client = _client(env)
    rows, problem = alert_rows(client), blindness(client)
    if json:
        output.print_json({"environment": env, "problem": problem, "alerts": rows})
    elif not rows:
        typer.echo(problem or "No alert fires.")
    else:
        table = output.table("alert", "severity", "state", "since (UTC)", "summary", "runbook")
        for row in rows:
            columns = ("alert", "severity", "state", "started_at", "summary", "runbook")
            table.add_row(*(str(row[column]) for column in columns))
        output.print_table(table)
        if problem:
            typer.echo(problem)
    if problem or any(row["severity"] == "page" and row["state"] == "active" for row in rows):
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def silence(env: Env, name: Name, duration: Duration, comment: Comment, *, json: AsJson = False) -> None:
    """Silence an alert for a time."""
    from cli.actions.alerts import silence as silence_alert  # noqa: PLC0415 - not for help

    seconds = parse_duration(duration)
    silence_id = silence_alert(_client(env), name, seconds, comment)
    if json:
        output.print_json({"environment": env, "alert": name, "silence": silence_id, "seconds": seconds})
    else:
        typer.echo(f"{name} is silent for {duration}. To end it: esq alerts unsilence {env} {silence_id}")


@app.command()
def unsilence(
    env: Env, silence_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the silence.")]
) -> None:
    """End a silence."""
    from cli.actions.alerts import expire_silence  # noqa: PLC0415 - not for help

    expire_silence(_client(env), silence_id)


@app.command("test")
def send_test_alert(env: Env, severity: ReceiversOf = Receivers.PAGE, *, json: AsJson = False) -> None:
    """Send a test alert and report which receivers took it. Exit code 1 when one did not."""
    from cli.actions.alerts import send_test  # noqa: PLC0415 - not for help

    rows = send_test(_client(env), env, severity)
    if json:
        output.print_json({"environment": env, "severity": str(severity), "receivers": rows})
    else:
        table = output.table("receiver", "sent", "failed")
        for row in rows:
            table.add_row(row["integration"], str(row["sent"]), str(row["failed"]))
        output.print_table(table)
    if any(row["failed"] or not row["sent"] for row in rows):
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def rules(env: Env, *, json: AsJson = False) -> None:
    """List the rules of an environment; the layer need not be deployed."""
    from cli.actions.alerts import rule_rows  # noqa: PLC0415 - not for help
    from cli.environment import load_environment  # noqa: PLC0415 - same

    rows = rule_rows(load_environment(env).name)
    if json:
        output.print_json({"environment": env, "rules": rows})
        return
    table = output.table("alert", "severity", "burn", "interval", "for", "experiment")
    for row in rows:
        columns = ("alert", "severity", "burn", "interval", "for", "experiment")
        table.add_row(*(row[column] for column in columns))
    output.print_table(table)


@app.command()
def measure(env: Env, *, json: AsJson = False) -> None:
    """Show how fast alerts fired and ended in the runs of experiments, in seconds."""
    from cli.actions.alert_detection import stored_detections, summarize  # noqa: PLC0415 - not for help
    from cli.actions.chaos_target import chaos_dir  # noqa: PLC0415 - imports the clients
    from cli.environment import load_environment  # noqa: PLC0415 - same

    rows = summarize(stored_detections(chaos_dir(load_environment(env)) / "reports"))
    if json:
        output.print_json({"environment": env, "alerts": rows})
    elif not rows:
        typer.echo("No run has recorded alerts: deploy the observability layer, then `esq chaos run`.")
    else:
        columns = ("median_seconds", "worst_seconds", "median_reset_seconds", "worst_reset_seconds")
        table = output.table("alert", "severity", "runs", *(column.replace("_", " ") for column in columns))
        for row in rows:
            values = ("" if row[column] is None else f"{row[column]:.0f}" for column in columns)
            table.add_row(row["alert"], row["severity"], str(row["runs"]), *values)
        output.print_table(table)


def parse_duration(text: str) -> int:
    """Return the seconds of a duration such as `30m`.

    Raises:
        UsageError: the text is no duration.
    """
    match = re.fullmatch(r"(\d+)([smhd])", text)
    if match is None:
        raise UsageError(f"`{text}` is no duration", location="--for", remedy="Write 30m, 2h or 1d.")
    return int(match[1]) * _UNITS[match[2]]


def _client(env: str) -> ObservabilityClient:
    from cli.actions.deployment_target import open_target  # noqa: PLC0415 - imports the clients
    from cli.environment import load_environment  # noqa: PLC0415 - same
    from cli.observability_client import ObservabilityClient  # noqa: PLC0415 - same
    from infra.progress import RecordingProgress  # noqa: PLC0415 - same

    return ObservabilityClient(open_target(load_environment(env), RecordingProgress()).kubeconfig)
