"""`esq recover ENV`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import output
from cli.output import AsJson, Env, Yes  # noqa: TC001 - Typer reads annotations

app = output.command_group()

Target = Annotated[
    str, typer.Option("--target", metavar="TIME", help="`latest`, or a time (ISO 8601, UTC by default).")
]


@app.command()
def recover(
    env: Env,
    target: Target = "latest",
    *,
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Recover a lost environment from its off-site store: cluster, data, services, messages in flight.

    An interrupted recovery resumes with the same command.
    """
    output.require_confirmation(
        f"Recover `{env}` from its off-site store?",
        remedy=f"If `{env}` is lost: `esq recover {env} --yes`.",
        yes=yes,
        as_json=json,
    )
    from cli.actions.disaster_recovery import recover_environment  # noqa: PLC0415 - imports the whole SDK
    from cli.environment import load_environment  # noqa: PLC0415 - same

    progress = output.progress_reporter(as_json=json)
    result = recover_environment(load_environment(env), target, progress)
    if json:
        output.print_json({"environment": env, **result, "steps": output.timings(progress)})
        return
    typer.echo(
        f"`{env}` is recovered after {result['seconds']:g} s, "
        f"restored to its state at {result['restored_until']}."
    )
    typer.echo(
        f"{result['media_objects']} media objects restored, "
        f"{result['republished']} message requests published again."
    )
