"""`esq runbook run | page`: walk through a runbook, and start it from an alert."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.output import AsJson, Env  # noqa: TC001 - Typer reads annotations
from infra.errors import ExitCode

if TYPE_CHECKING:
    from cli.actions.deployment_target import DeploymentTarget
    from runbooks.check import CheckContext
    from runbooks.run_record import RunRecord
    from runbooks.runner import Operator, Runner

app = output.command_group()

DEFAULT_PORT = 9095

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of a runbook or of its alert, e.g. `postgres-down`.")
]
DefaultEnv = Annotated[str, typer.Argument(metavar="ENV", help="Environment; `local` by default.")]
Yes = Annotated[
    bool,
    typer.Option(
        "--yes", help="Do not ask before safe and disruptive actions; the policy may add destructive ones."
    ),
]


@app.command()
def run(
    name: Name,
    env: DefaultEnv = "local",
    *,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run that was interrupted or waits for a person.")
    ] = False,
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Walk through a runbook: look, propose actions with their dry run, verify. Exit code 1 if not resolved.

    Asks before each action. Without a terminal, or with --json, nothing is asked: what --yes and the policy
    of the environment do not allow is proposed and left to `--resume`.
    """
    from cli.actions import runbook_run  # noqa: PLC0415 - imports the clients
    from cli.actions.runbook_operators import TerminalOperator, UnattendedOperator  # noqa: PLC0415 - same
    from cli.actions.runbook_pages import find_page, kubectl_command  # noqa: PLC0415 - same

    slug, target = find_page(name), _open_target(env)
    policy = runbook_run.environment_policy(target.environment)
    operator: Operator = UnattendedOperator(policy, yes=yes)
    if not json and sys.stdin.isatty():
        operator = TerminalOperator(policy, kubectl=kubectl_command(target), yes=yes)
    record = runbook_run.find_run(runbook_run.run_store(target.environment), slug, resume=resume)
    record = _runner(target, operator).walk(record.id)
    if json:
        output.print_json({**record.model_dump(mode="json"), "state": record.state})
    else:
        _print_result(record, target, attended=not operator.is_unattended)
    if record.phase != "resolved":
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def page(
    env: Env,
    *,
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65_535)] = DEFAULT_PORT,
    address: Annotated[
        str, typer.Option(help="Address to listen on. The connection is not encrypted.")
    ] = "127.0.0.1",
) -> None:
    """Receive the webhooks of Alertmanager until Ctrl-C: each fault starts one run, of its cause's runbook.

    A run looks, and proposes actions; safe ones run by themselves only where the policy of the environment
    allows it. A person continues with `esq runbook run NAME ENV --resume`. Alertmanager posts to /alerts
    with the token in the file that is printed.
    """
    from cli.actions import runbook_run  # noqa: PLC0415 - imports the clients
    from cli.actions.runbook_operators import UnattendedOperator  # noqa: PLC0415 - same
    from cli.actions.runbook_triage import follow_cause  # noqa: PLC0415 - same
    from cli.alert_receiver import AlertReceiver  # noqa: PLC0415 - same
    from cli.alert_server import AlertServer, load_token  # noqa: PLC0415 - same

    target = _open_target(env)
    store = runbook_run.run_store(target.environment)
    runner = _runner(target, UnattendedOperator(runbook_run.environment_policy(target.environment)))

    def work(run_id: str) -> None:
        if not follow_cause(store, run_id, lambda: _context(target)):
            runner.walk(run_id)

    token_file = target.environment.folder / "runbook-page.token"
    receiver = AlertReceiver(store, work, runner.close)
    with AlertServer(receiver, load_token(token_file), address=address, port=port) as server:
        typer.echo(f"webhook  http://{address}:{server.server_port}/alerts\ntoken    {token_file}")
        for run_id in receiver.continue_interrupted():
            typer.echo(f"resumed  {run_id}")
        try:
            server.serve_forever()
        finally:
            receiver.stop()


def _open_target(env: str) -> DeploymentTarget:
    from cli.actions.runbook_run import open_run_target  # noqa: PLC0415 - imports the clients
    from cli.environment import load_environment  # noqa: PLC0415 - same

    return open_run_target(load_environment(env), output.progress_reporter(as_json=True))


def _runner(target: DeploymentTarget, operator: Operator) -> Runner:
    from cli.actions import runbook_run  # noqa: PLC0415 - imports the clients

    return runbook_run.open_runner(target.environment, target.kubeconfig, operator, lambda: _context(target))


def _context(target: DeploymentTarget) -> CheckContext:
    from cli.actions.environment_context import EnvironmentContext  # noqa: PLC0415 - imports the clients

    return EnvironmentContext(target)


def _print_result(record: RunRecord, target: DeploymentTarget, *, attended: bool) -> None:
    """Print the steps, unless a person has seen them already, and how it continues."""
    from cli.actions.runbook_operators import pasteable  # noqa: PLC0415 - imports the clients
    from cli.actions.runbook_pages import kubectl_command  # noqa: PLC0415 - same

    for step in () if attended else record.steps:
        typer.echo(f"{step.state:<9} {step.id}" + (f": {step.reason}" if step.reason else ""))
        for line in step.evidence:
            typer.echo(f"    {line}")
        if step.state == "proposed":
            typer.echo(f"  $ {pasteable(step.command, kubectl_command(target))}")
    typer.echo(f"{record.state}  {record.id}")
    if record.state == "waiting":
        typer.echo(f"To decide: esq runbook run {record.runbook} {record.environment} --resume")
    elif record.state == "unresolved":
        typer.echo(f"The page goes further: esq runbook show {record.runbook} {record.environment}")
