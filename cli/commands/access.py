"""`esq logs | exec | port-forward | psql ENV`: direct access to the pods of an environment."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from cli import output
from cli.output import Env  # noqa: TC001 - Typer reads annotations

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cli.actions.deployment_target import DeploymentTarget
    from cli.actions.workloads import Workload

app = output.command_group()


def _workload_names(incomplete: str) -> list[str]:
    from cli.actions.workloads import WORKLOADS  # noqa: PLC0415 - help needs none of it

    return [name for name in WORKLOADS if name.startswith(incomplete)]


_WORKLOAD_HELP = "Workload, e.g. `campaigns-api` or `postgres`."
WorkloadName = Annotated[
    str, typer.Argument(metavar="WORKLOAD", help=_WORKLOAD_HELP, autocompletion=_workload_names)
]
Pod = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="This pod; by default a ready one, of Postgres the primary."),
]


@app.command()
def logs(  # noqa: PLR0913 - one per option
    env: Env,
    workload: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WORKLOAD",
            help="Workloads, e.g. `campaigns-api`; by default all processes of the application.",
            autocompletion=_workload_names,
        ),
    ] = None,
    *,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Print new lines until Ctrl-C.")] = False,
    since: Annotated[str, typer.Option(metavar="AGE", help="Maximum age of a line, e.g. `10m`.")] = "",
    tail: Annotated[int, typer.Option(help="Maximum number of lines of each pod; -1 for all.", min=-1)] = 100,
    previous: Annotated[
        bool, typer.Option("--previous", help="Print the lines of the container before its last restart.")
    ] = False,
) -> None:
    """Print the logs of workloads, each line with its pod and time."""
    from cli.actions import kubectl  # noqa: PLC0415 - help needs none of it
    from cli.actions.workloads import find_workloads  # noqa: PLC0415 - same

    argv = kubectl.logs_argv(
        find_workloads(workload or []), follow=follow, since=since, tail=tail, previous=previous
    )
    kubectl.replace_process(_open_target(env), argv)


@app.command("exec", context_settings={"allow_interspersed_args": False})
def execute(
    env: Env,
    workload: WorkloadName,
    command: Annotated[list[str], typer.Argument(metavar="COMMAND", help="Command and arguments.")],
    pod: Pod = None,
) -> None:
    """Run a command in a pod, e.g. `esq exec local campaigns-api -- python3 -V`. Options go before ENV."""
    from cli.actions import kubectl  # noqa: PLC0415 - help needs none of it

    _run_in_pod(
        *(env, workload, pod),
        lambda target_workload, name: kubectl.exec_argv(
            target_workload, name, _after_separator(command), terminal=_is_terminal()
        ),
    )


def _after_separator(arguments: list[str]) -> list[str]:
    """Return the arguments without a leading `--`, which separates them from those of esq."""
    return arguments[1:] if arguments[:1] == ["--"] else arguments


@app.command("port-forward")
def port_forward(
    env: Env,
    workload: WorkloadName,
    ports: Annotated[
        str, typer.Argument(metavar="LOCAL:REMOTE", help="Ports; by default that of the workload.")
    ] = "",
    pod: Pod = None,
) -> None:
    """Forward a port of 127.0.0.1 to a pod until Ctrl-C."""
    from cli.actions import kubectl  # noqa: PLC0415 - help needs none of it

    _run_in_pod(
        *(env, workload, pod),
        lambda target_workload, name: kubectl.port_forward_argv(target_workload, name, ports),
    )


@app.command(context_settings={"allow_interspersed_args": False})
def psql(
    env: Env,
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="PSQL_ARGS", help="Arguments of psql.")
    ] = None,
    pod: Pod = None,
    *,
    write: Annotated[
        bool, typer.Option("--write", help="Allow changes; without it, transactions are read-only.")
    ] = False,
) -> None:
    """Open psql on the primary of Postgres, e.g. `esq psql local -- -c 'SELECT 1'`. Options go before ENV."""
    from cli.actions import kubectl  # noqa: PLC0415 - help needs none of it

    command = kubectl.psql_command(_after_separator(arguments or []), write=write)
    _run_in_pod(
        *(env, "postgres", pod),
        lambda target_workload, name: kubectl.exec_argv(
            target_workload, name, command, terminal=_is_terminal()
        ),
    )


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _run_in_pod(
    env: str, name: str, pod: str | None, argv: Callable[[Workload, str], Sequence[str]]
) -> NoReturn:
    from cli.actions.kubectl import replace_process  # noqa: PLC0415 - help needs none of it
    from cli.actions.workloads import find_pod, find_workloads  # noqa: PLC0415 - same

    (workload,) = find_workloads([name])
    target = _open_target(env)
    replace_process(target, argv(workload, pod or find_pod(target, workload)))


def _open_target(env: str) -> DeploymentTarget:
    from cli.actions.deployment_target import open_deployed_target  # noqa: PLC0415 - help needs none of it
    from cli.environment import load_environment  # noqa: PLC0415 - same

    return open_deployed_target(load_environment(env), output.progress_reporter(as_json=True))
