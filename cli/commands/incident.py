"""`esq incident list | show | report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.output import AsJson, Env  # noqa: TC001 - Typer reads annotations

app = output.command_group("Incidents: what was wrong, when, and what was done about it.")

Id = Annotated[
    str, typer.Argument(metavar="INCIDENT", help="Id, as `esq incident list` shows it, or `last`.")
]
Out = Annotated[Path | None, typer.Option(help="Write the draft to this file.")]


@app.command("list")
def list_incidents(env: Env, *, json: AsJson = False) -> None:
    """List the incidents that this machine has recorded: runs of runbooks, and diagnoses with a cause."""
    from cli.actions import incidents  # noqa: PLC0415 - not needed for help
    from cli.environment import load_environment  # noqa: PLC0415 - same

    known = incidents.list_incidents(load_environment(env))
    if json:
        output.print_json({"environment": env, "incidents": [incident.to_dict() for incident in known]})
        return
    table = output.table("incident", "state", "minutes", "causes")
    for incident in known:
        causes = ", ".join(cause["check"] for cause in incident.causes) or incident.runbook
        minutes = (
            (incident.ended_at - incident.started_at).total_seconds() / 60 if incident.ended_at else None
        )
        table.add_row(incident.id, incident.state, "" if minutes is None else f"{minutes:.0f}", causes)
    output.print_table(table, wraps_last=True)


@app.command()
def show(env: Env, incident: Id, *, json: AsJson = False) -> None:
    """Show an incident with its causes, and the timeline of alerts, diagnoses, steps, deploys and faults."""
    from cli.actions import incidents  # noqa: PLC0415 - not needed for help
    from cli.environment import load_environment  # noqa: PLC0415 - same

    environment = load_environment(env)
    item = incidents.find_incident(environment, incident)
    timeline = incidents.read_timeline(environment, item, output.progress_reporter(as_json=True))
    if json:
        entries = [
            {"at": entry.at.isoformat(), "kind": entry.kind, "text": entry.text} for entry in timeline.entries
        ]
        output.print_json({**item.to_dict(), "timeline": entries, "unread": dict(timeline.unread)})
        return
    typer.echo(f"{item.id}  {item.state}  esq runbook show {item.runbook} {env}")
    for cause in item.causes:
        typer.echo(f"✗ {cause['check']}: {cause['reason']}")
    output.print_rows((f"{entry.at:%H:%M:%S}", entry.kind, entry.text) for entry in timeline.entries)
    for source, reason in timeline.unread.items():
        typer.echo(f"? {source}: {reason}")


@app.command()
def report(env: Env, incident: Id, out: Out = None) -> None:
    """Print the draft of a postmortem in Markdown: causes, evidence, timeline and actions filled in."""
    from cli.actions import incidents  # noqa: PLC0415 - not needed for help
    from cli.environment import load_environment  # noqa: PLC0415 - same
    from runbooks.postmortem import draft  # noqa: PLC0415 - same

    environment = load_environment(env)
    item = incidents.find_incident(environment, incident)
    timeline = incidents.read_timeline(environment, item, output.progress_reporter(as_json=True))
    text = draft(item, timeline.entries, timeline.unread)
    if out is None:
        typer.echo(text)
    else:
        out.write_text(text, encoding="utf-8")
        typer.echo(str(out))
