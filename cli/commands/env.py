"""`esq env list | show | init | rebind | forget`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.output import AsJson, Env  # noqa: TC001 - Typer reads annotations
from infra.errors import ExitCode

if TYPE_CHECKING:
    from cli.actions.environments import ListedEnvironment

app = output.command_group("List, show and create environments; bind one to what its definition says.")

NewEnv = Annotated[str, typer.Argument(metavar="ENV", help="Name of the new environment, e.g. `staging`.")]
ConfirmedName = Annotated[
    str | None,
    typer.Option("--confirm", help="Name of the environment as confirmation.", metavar="ENV"),
]


@app.command("list")
def list_(*, json: AsJson = False) -> None:
    """List the environments. Exit code 1 when a definition is invalid."""
    from cli.actions.environments import list_environments  # noqa: PLC0415 - help needs none of it

    environments = list_environments()
    if json:
        output.print_json({"environments": [_row(listed) for listed in environments]})
    else:
        _print_table(environments)
    if any(listed.problems for listed in environments):
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def show(env: Env, *, json: AsJson = False) -> None:
    """Show the effective definition of an environment and, when it is deployed, its record and rotation."""
    import yaml  # noqa: PLC0415 - help needs none of it

    from cli.actions.credentials import find_rotation  # noqa: PLC0415 - imports the whole SDK
    from cli.environment import load_environment  # noqa: PLC0415 - same

    environment = load_environment(env)
    definition = environment.definition.model_dump(mode="json") | {"backend": environment.backend}
    record = environment.load_record()
    rotation = find_rotation(environment, output.progress_reporter(as_json=True)) if record else None
    if json:
        plain_record = record.model_dump(mode="json") if record else None
        phase = rotation.phase if rotation else None
        output.print_json(
            {"environment": env, "definition": definition, "record": plain_record, "rotation": phase}
        )
        return
    typer.echo(yaml.safe_dump(definition, sort_keys=False, allow_unicode=True).rstrip())
    if record is None:
        typer.echo(f"\n`{env}` has no record on this machine: it was not deployed from here.")
        return
    typer.echo("\nrecord of the last deploy:")
    output.print_rows((f"  {name}", str(value)) for name, value in record.model_dump().items())
    if rotation and rotation.notice:
        typer.echo(f"\n{rotation.notice}")


@app.command()
def init(env: NewEnv, *, json: AsJson = False) -> None:
    """Write a commented definition for a new environment."""
    from cli.actions.environments import write_template  # noqa: PLC0415 - help needs none of it

    file = write_template(env)
    if json:
        output.print_json({"environment": env, "file": str(file)})
        return
    typer.echo(f"{file}\nEdit it, check it with `esq env show {env}`, then `esq deploy {env}`.")


@app.command()
def rebind(
    env: Env,
    confirm: ConfirmedName = None,
    *,
    json: AsJson = False,
) -> None:
    """Bind a deployed environment to the backend, cluster and off-site store of its definition.

    For stacks that were moved to another backend, and for a lost cluster that is not recovered.
    """
    from cli.actions.environment_rebind import rebind as action  # noqa: PLC0415 - imports the whole SDK
    from cli.environment import load_environment  # noqa: PLC0415 - same

    changes = action(load_environment(env), confirm, output.progress_reporter(as_json=json))
    if json:
        output.print_json({"environment": env, "changes": changes})
    else:
        typer.echo("\n".join(changes) or f"`{env}` is already bound to what its definition says.")


@app.command()
def forget(
    env: Env,
    confirm: ConfirmedName = None,
    *,
    json: AsJson = False,
) -> None:
    """Delete the stacks and credentials of an environment whose existing cluster is gone for good."""
    from cli.actions.environment_forget import forget as action  # noqa: PLC0415 - imports the whole SDK
    from cli.environment import load_environment  # noqa: PLC0415 - same

    layers = action(load_environment(env), confirm, output.progress_reporter(as_json=json))
    if json:
        output.print_json({"environment": env, "forgotten": layers})
    else:
        typer.echo(f"`{env}` is forgotten: {', '.join(layers) or 'it had no stacks'}.")


def _row(listed: ListedEnvironment) -> dict[str, object]:
    environment = listed.environment
    if environment is None:
        return {"name": listed.name, "problems": list(listed.problems)}
    return {
        "name": listed.name,
        "cluster": environment.definition.model_dump(mode="json")["cluster"],
        "backend": environment.backend,
        "problems": [],
    }


def _print_table(environments: list[ListedEnvironment]) -> None:
    table = output.table("environment", "cluster", "backend")
    for listed in environments:
        environment = listed.environment
        if environment is None:
            table.add_row(listed.name, "[red]invalid[/]", f"see `esq env show {listed.name}`")
            continue
        cluster = environment.definition.existing_cluster
        table.add_row(listed.name, cluster.context if cluster else "embedded", environment.backend)
    output.print_table(table)
