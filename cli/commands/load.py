"""`esq load list | show | run | stop | prepare | report | compare`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path  # noqa: TC003 - Typer reads annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.output import AsJson, Env  # noqa: TC001 - Typer reads annotations
from infra.errors import ExitCode, UsageError
from loadtests.shapes import Shape, Spacing

if TYPE_CHECKING:
    from rich.table import Table

    from loadtests.protocol import LoadProfile
    from loadtests.results import LoadReport, Messages
    from loadtests.scenarios import Scenario

app = output.command_group("Open-loop load tests, evaluated against SLOs.")

ScenarioName = Annotated[
    str, typer.Argument(metavar="SCENARIO", help="Name of the scenario, see `esq load list`.")
]
Profile = Annotated[Shape | None, typer.Option("--profile", help="How the rate changes over the run.")]
Rate = Annotated[float | None, typer.Option(help="Maximum units per second.", min=0.001, max=100_000)]
Duration = Annotated[float | None, typer.Option(help="Length of the run, seconds.", min=1, max=86_400)]
Arrivals = Annotated[Spacing | None, typer.Option("--spacing", help="How arrivals are spaced at the rate.")]
Seed = Annotated[int, typer.Option(help="Seed of random arrivals: the same seed gives the same arrivals.")]
Workers = Annotated[int, typer.Option(help="Locust workers that share the load.", min=1, max=64)]
InCluster = Annotated[
    bool, typer.Option("--in-cluster", help="Run master and workers in the cluster, as Jobs.")
]
RemoteWorkers = Annotated[
    int, typer.Option(help="Further workers, on other machines: docs/load-tests.md.", min=0, max=1000)
]
Port = Annotated[int, typer.Option(help="Port of Locust's master on loopback, any if 0.", min=0, max=65_535)]
Experiment = Annotated[
    str | None,
    typer.Option("--with-chaos", metavar="EXPERIMENT", help="Experiment to run during the load test."),
]
Confirm = Annotated[
    str | None,
    typer.Option(help="Name of the environment, required for an experiment unless the cluster is embedded."),
]


@app.command("list")
def list_scenarios(*, json: AsJson = False) -> None:
    """List the scenarios with their load profiles."""
    from loadtests.scenarios import SCENARIOS  # noqa: PLC0415 - not needed for help

    if json:
        output.print_json({"scenarios": [_to_dict(scenario) for scenario in SCENARIOS]})
        return
    table = output.table("scenario", "per second", "seconds", "title")
    for scenario in SCENARIOS:
        profile = scenario.profile
        rate = f"{profile.rate:g} {scenario.unit}"
        table.add_row(scenario.name, rate, f"{profile.duration_seconds:g}", scenario.title)
    output.print_table(table, wraps_last=True)


def _to_dict(scenario: Scenario) -> dict[str, Any]:
    """Return the name, load profile, fixtures and SLOs of a scenario."""
    return {
        "name": scenario.name,
        "title": scenario.title,
        "unit": scenario.unit,
        "companies": scenario.companies,
        "contacts": scenario.contacts,
        "slos": dict(scenario.slo_metrics),
        **scenario.profile.model_dump(mode="json"),
    }


@app.command()
def show(name: ScenarioName, *, json: AsJson = False) -> None:
    """Show a scenario: its load profile and the SLOs that it measures."""
    from loadtests.scenarios import find_scenario  # noqa: PLC0415 - not needed for help

    scenario = find_scenario(name)
    profile = scenario.profile
    if json:
        output.print_json(_to_dict(scenario))
        return
    output.console().print(f"{scenario.title}\n", markup=False)
    rate, seconds = f"{profile.rate:g} {scenario.unit} per second", f"{profile.duration_seconds:g} s"
    output.print_rows(
        [
            ("profile", f"{profile.shape.value}, {rate}, {seconds}, arrivals {profile.spacing.value}"),
            ("companies", f"{scenario.companies}, each with {scenario.contacts} contacts"),
            *(("SLO", f"{slo_id} by {metric}") for slo_id, metric in scenario.slo_metrics.items()),
        ]
    )


@app.command()
def run(  # noqa: PLR0913, PLR0917 - one parameter per option
    env: Env,
    name: ScenarioName,
    profile: Profile = None,
    rate: Rate = None,
    duration: Duration = None,
    spacing: Arrivals = None,
    seed: Seed = 0,
    workers: Workers = 2,
    remote_workers: RemoteWorkers = 0,
    port: Port = 0,
    with_chaos: Experiment = None,
    confirm: Confirm = None,
    *,
    in_cluster: InCluster = False,
    json: AsJson = False,
) -> None:
    """Run a load test. Exit code 99 if an SLO is violated, 1 if the run is not valid.

    A run is valid if the generators kept to the load profile, 99 % of the requests were accepted, and 99 % of
    the messages were received.
    """
    from cli.actions.load.request import LoadTestRequest  # noqa: PLC0415 - not needed for help
    from cli.actions.load.run import run_load_test  # noqa: PLC0415 - imports clients and SDK
    from cli.environment import load_environment  # noqa: PLC0415 - same
    from loadtests.scenarios import find_scenario  # noqa: PLC0415 - same

    _require_one_master(in_cluster=in_cluster, is_remote=bool(remote_workers or port))
    scenario = find_scenario(name)
    request = LoadTestRequest(
        scenario=scenario,
        profile=_changed_profile(
            scenario, shape=profile, rate=rate, duration_seconds=duration, spacing=spacing, seed=seed
        ),
        workers=workers,
        remote_workers=remote_workers,
        in_cluster=in_cluster,
        port=port,
        experiment=with_chaos,
        confirmed_name=confirm,
        command=shlex.join(["esq", *sys.argv[1:]]),
    )
    report, page = run_load_test(load_environment(env), request, output.progress_reporter(as_json=json))
    _print_report(report, page, as_json=json)
    raise typer.Exit(_exit_code(report))


def _require_one_master(*, in_cluster: bool, is_remote: bool) -> None:
    if in_cluster and is_remote:
        raise UsageError(
            "the workers in the cluster have their own master",
            location="--in-cluster",
            remedy="Leave out --remote-workers and --port.",
        )


def _exit_code(report: LoadReport) -> ExitCode:
    if report.violated:
        return ExitCode.SLO_VIOLATED
    return ExitCode.OK if report.valid else ExitCode.FAILED


@app.command()
def stop(env: Env, *, json: AsJson = False) -> None:
    """End the load tests of an environment: of this machine, and those that run in the cluster."""
    from cli.actions.load.stop import stop_load  # noqa: PLC0415 - imports clients and SDK
    from cli.environment import load_environment  # noqa: PLC0415 - same

    ended = stop_load(load_environment(env), output.progress_reporter(as_json=json))
    if json:
        output.print_json({"environment": env, "ended": ended})
        return
    typer.echo("\n".join(f"ended {load}" for load in ended) or f"no load test runs on {env}")


@app.command()
def prepare(  # noqa: PLR0913, PLR0917 - one parameter per option
    env: Env,
    name: ScenarioName,
    config: Annotated[Path, typer.Argument(metavar="FILE", help="Configuration to write.")],
    profile: Profile = None,
    rate: Rate = None,
    duration: Duration = None,
    spacing: Arrivals = None,
    seed: Seed = 0,
    valid_hours: Annotated[float, typer.Option(help="Lifetime of the tokens.", min=0.1, max=168)] = 12,
) -> None:
    """Prepare a scenario for plain Locust: create its fixtures and write its configuration.

    The file contains tokens of the companies of the load test; it is readable by you only.
    """
    from cli.actions.load.prepare import write_configuration  # noqa: PLC0415 - imports clients and SDK
    from cli.environment import load_environment  # noqa: PLC0415 - same
    from loadtests.scenarios import find_scenario  # noqa: PLC0415 - same

    scenario = find_scenario(name)
    changed = _changed_profile(
        scenario, shape=profile, rate=rate, duration_seconds=duration, spacing=spacing, seed=seed
    )
    steps = output.progress_reporter(as_json=False)
    typer.echo(
        write_configuration(load_environment(env), scenario, changed, valid_hours * 3600, config, steps)
    )


def _changed_profile(scenario: Scenario, **options: object) -> LoadProfile:
    """Return the load profile of a scenario with the options that are used."""
    changes = {field: value for field, value in options.items() if value is not None}
    return scenario.profile.model_copy(update=changes)


@app.command("report")
def show_report(
    env: Env,
    report: Annotated[str | None, typer.Argument(help="Name of the report; the last one by default.")] = None,
    *,
    list_all: Annotated[bool, typer.Option("--list", help="List the names of all reports.")] = False,
    json: AsJson = False,
) -> None:
    """Show the report of a run and the path of its HTML page."""
    from cli.actions.load.reporting import report_store  # noqa: PLC0415 - not needed for help
    from cli.environment import load_environment  # noqa: PLC0415 - same

    store = report_store(load_environment(env))
    if list_all:
        output.print_report_names(store.names(), env, as_json=json)
        return
    _print_report(*store.read(report), as_json=json)


@app.command("compare")
def compare_runs(
    env: Env,
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="Name of a report, see `--list`.")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="Name of the later report.")],
    *,
    max_increase: Annotated[
        float | None, typer.Option(help="Tolerated increase of p50, p90 and p99, in percent.", min=0)
    ] = None,
    json: AsJson = False,
) -> None:
    """Compare two runs of a scenario with the same load profile.

    Exit code 99 if a latency increased by more than `--max-increase`, 1 if a run is not valid.
    """
    from cli.actions.load.reporting import report_store  # noqa: PLC0415 - not needed for help
    from cli.commands.load_comparison import print_comparison  # noqa: PLC0415 - same
    from cli.environment import load_environment  # noqa: PLC0415 - same

    if after <= before:  # names begin with the start of the run
        raise UsageError(
            f"`{after}` did not start after `{before}`",
            location="AFTER",
            remedy=f"Exchange them: esq load compare {env} {after} {before}",
        )
    store = report_store(load_environment(env))
    raise typer.Exit(
        print_comparison(
            *(store.read(before)[0], store.read(after)[0]), max_increase_percent=max_increase, as_json=json
        )
    )


def _print_report(report: LoadReport, page: Path, *, as_json: bool) -> None:
    if as_json:
        fields = report.model_dump(mode="json")
        evaluations = [evaluation.model_dump(mode="json") for evaluation in report.evaluations]
        output.print_json({"page": str(page), "evaluations": evaluations, **fields})
        return
    _print_tables(report)
    typer.echo(f"report   {page}")
    for reason in report.reasons:
        typer.echo(f"✗ {report.outcome}: {reason}")
    if not report.is_evidence:
        typer.echo("Not recorded for `esq slo`: less than the scenario's load profile, or an experiment ran.")
    if report.requests.generator_lagged:
        typer.echo("Use more --workers or a lower --rate.")


def _print_tables(report: LoadReport) -> None:
    output.print_table(_outcome_table(report))
    if report.messages:
        output.print_table(_message_table(report.messages))
    output.print_table(_latency_table(report))
    output.print_table(_evaluation_table(report))
    if report.resource_usage:
        output.print_table(_usage_table(report))
    if report.host_cpu:
        host_cpu = report.host_cpu
        typer.echo(
            f"host CPU {host_cpu.used:.2f} of {host_cpu.cores} cores used, including the platform if it runs "
            f"there; {host_cpu.steal:.2f} stolen by other virtual machines"
        )


def _outcome_table(report: LoadReport) -> Table:
    table = output.table("", "offered", "accepted", "failed", "dropped", "unresolved")
    requests = report.requests
    counts = (requests.offered, requests.accepted, requests.failed, requests.dropped, requests.unresolved)
    table.add_row("requests", *map(str, counts))
    return table


def _message_table(messages: Messages) -> Table:
    table = output.table("", "planned", "received", "failed", "lost", "duplicated", "uncertain")
    counts = (messages.planned, messages.received, messages.failed)
    table.add_row("messages", *map(str, (*counts, messages.lost, messages.duplicated, messages.uncertain)))
    return table


def _latency_table(report: LoadReport) -> Table:
    from loadtests.results import PERCENTILES  # noqa: PLC0415 - not needed for JSON

    headings = (f"p{percentile:g}" for percentile in PERCENTILES)
    table = output.table("seconds from the due instant", "count", "failed", *headings)
    for name, latency in report.latencies.items():
        percentiles = (f"{seconds:.3f}" for seconds in latency.percentiles or ())
        table.add_row(name, str(latency.count), str(latency.failed), *percentiles)
    return table


def _evaluation_table(report: LoadReport) -> Table:
    from infra.measurements.html import format_number  # noqa: PLC0415 - not needed for JSON

    table = output.table("SLO", "objective", "limit", "measured", "status")
    for evaluation in report.evaluations:
        status = evaluation.status.value
        table.add_row(
            evaluation.description,
            f"{format_number(evaluation.objective)} {evaluation.unit}",
            f"{format_number(evaluation.limit)} {evaluation.unit}",
            format_number(evaluation.distribution.max),
            f"[{output.SLO_COLOURS[status]}]{status}[/]",
        )
    return table


def _usage_table(report: LoadReport) -> Table:
    from infra.measurements.html import format_number  # noqa: PLC0415 - not needed for JSON

    table = output.table("component", "pods", "cores", "MiB of one pod", "limit, MiB")
    for name, usage in report.resource_usage.items():
        limit = format_number(usage.limit_mib) if usage.limit_mib else "-"
        table.add_row(name, str(usage.pods), f"{usage.cores:.3f}", format_number(usage.memory_mib), limit)
    usages = report.resource_usage.values()
    pods, cores = sum(usage.pods for usage in usages), sum(usage.cores for usage in usages)
    table.add_row("all pods", str(pods), f"{cores:.3f}", "", "")
    return table
