"""`esq status ENV`."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import typer

from cli import output
from cli.output import AsJson, Env  # noqa: TC001 - Typer reads annotations
from infra.errors import ExitCode

if TYPE_CHECKING:
    from rich.table import Table

    from cli.actions.health import Health
    from cli.actions.open_faults import JournalStatus
    from infra.scrub_record import ScrubRecord

app = output.command_group()


@app.command()
def status(env: Env, *, json: AsJson = False) -> None:
    """Show the health of an environment by component and zone, and faults that an experiment left.

    Also targets and alerts of the observability layer, where it is deployed.

    Exit code 1 when it is not healthy, a fault is left, or the last scrub left damage.
    """
    from cli.actions import observability_status, open_faults  # noqa: PLC0415 - not needed for help
    from cli.actions.credentials import find_rotation  # noqa: PLC0415 - imports the whole SDK
    from cli.actions.deployment_target import open_deployed_target  # noqa: PLC0415 - same
    from cli.actions.health import collect_health  # noqa: PLC0415 - same
    from cli.environment import load_environment  # noqa: PLC0415 - same
    from infra.kubernetes import api_client  # noqa: PLC0415 - same
    from infra.scrub_record import read_scrub  # noqa: PLC0415 - same

    environment, progress = load_environment(env), output.progress_reporter(as_json=True)
    target = open_deployed_target(environment, progress)
    with ThreadPoolExecutor(2) as pool, closing(api_client(target.kubeconfig)) as api:
        reading = pool.submit(find_rotation, environment, progress)
        layer = pool.submit(observability_status.collect, target.kubeconfig)
        health, scrub, rotation = collect_health(target), read_scrub(api), reading.result()
        observability = layer.result()
    journal = open_faults.journal_status(open_faults.open_journal(environment))
    layer_problems = observability.problems if observability else []
    problems = [
        *(*health.problems, *layer_problems),
        *(*_fault_problems(env, journal), *_scrub_problems(env, scrub)),
    ]
    if json:
        summary = {"healthy": not problems, "problems": problems}
        summary |= {"rotation": rotation.phase, "chaos": journal.to_dict()}
        summary |= {"scrub": scrub.model_dump(mode="json") if scrub else None}
        summary |= {"observability": observability.to_dict() if observability else None}
        output.print_json({"environment": env, **health.to_dict(), **summary})
    else:
        notices = [f"observability  {observability.summary}"] if observability else []
        notices += [rotation.notice] if rotation.notice else []
        _print_health(health, problems, notices, _scrub_summary(scrub))
        if journal.run:
            typer.echo(f"an experiment runs: {journal.run}; see `esq chaos status {env}`")
    if problems:
        raise typer.Exit(ExitCode.FAILED)


def _fault_problems(env: str, journal: JournalStatus) -> list[str]:
    left = sum(fault.is_left for fault in journal.faults) + len(journal.problems)
    return [f"faults left by an experiment: {left}; see `esq chaos status {env}`"] if left else []


def _scrub_problems(env: str, scrub: ScrubRecord | None) -> list[str]:
    return [f"{problem}; see `esq scrub {env}`" for problem in scrub.problems] if scrub else []


def _scrub_summary(scrub: ScrubRecord | None) -> str:
    """Return the mark, time and result of the last scrub."""
    if scrub is None:
        return f"{_mark(ok=False)} never"
    now = dt.datetime.now(dt.UTC)
    return f"{_mark(ok=not scrub.problems and not scrub.is_old(now))} {scrub.describe(now)}"


def _print_health(health: Health, problems: list[str], notices: list[str], scrub: str) -> None:
    from rich.markup import escape  # noqa: PLC0415 - not needed for JSON

    console = output.console()
    for table in (_data_table(health), _services_table(health)):
        console.print(table)
    nodes = ", ".join(f"{node.name} {_mark(ok=node.ready)}" for node in health.nodes)
    console.print(f"nodes  {nodes}")
    console.print(f"backups {_mark(ok=not health.backups.problems)} {health.backups.summary}")
    console.print(f"scrub  {scrub}")
    endpoints = ", ".join(f"{check.path} {_mark(ok=not check.problem)}" for check in health.endpoints)
    if endpoints:
        console.print(f"edge   {endpoints}")
    for notice in notices:
        console.print(escape(notice))
    for problem in problems:
        console.print(f"[red]✗[/] {escape(problem)}")
    if not problems:
        console.print("[green]✓[/] healthy")


def _mark(*, ok: bool) -> str:
    return "[green]✓[/]" if ok else "[red]✗[/]"


def _data_table(health: Health) -> Table:
    from rich.markup import escape  # noqa: PLC0415 - not needed for JSON

    table = output.table("replica", "zone", "role", "lag", "state")
    for component in health.data:
        for replica in component.replicas:
            lag = "" if replica.lag is None else f"{replica.lag} {replica.lag_unit}"
            state = f"[{'green' if replica.healthy else 'red'}]{escape(replica.state)}[/]"
            zone = replica.zone or "none"
            table.add_row(replica.name, zone, replica.role, lag, state)
    return table


def _services_table(health: Health) -> Table:
    zones = sorted({node.zone for node in health.nodes})
    table = output.table("service", "ready", *zones)
    for service in health.services:
        ready = f"[{'green' if service.healthy else 'red'}]{service.ready}/{service.desired}[/]"
        table.add_row(service.name, ready, *(str(service.zones.get(zone, "")) for zone in zones))
    return table
