"""`esq toolchain` and `esq toolchain build`."""

from __future__ import annotations

import typer

from cli import output
from cli.output import AsJson  # noqa: TC001 - Typer reads annotations

app = typer.Typer(invoke_without_command=True)


@app.callback()
def toolchain(context: typer.Context, *, json: AsJson = False) -> None:
    """List the tools: version, and whether each is on PATH, built, or missing yet."""
    if context.invoked_subcommand is None:
        _list(as_json=json)


@app.command()
def build(*, json: AsJson = False) -> None:
    """Build every tool that is neither on PATH nor built."""
    from cli.actions import ground  # noqa: PLC0415 - help needs none of it
    from cli.actions.packages import install  # noqa: PLC0415 - same
    from infra.zones import packages  # noqa: PLC0415 - same

    steps = output.steps(as_json=json)
    install(packages.missing(), steps)
    tools = ground.toolchain(steps)
    tools.ensure([tool.name for tool in tools.list()], steps)
    _list(as_json=json)


def _list(*, as_json: bool) -> None:
    from cli.actions import ground  # noqa: PLC0415 - help needs none of it

    tools = ground.toolchain(output.steps(as_json=True)).list()
    if as_json:
        output.print_json({"tools": [tool.model_dump() for tool in tools]})
        return
    for tool in tools:
        typer.echo(f"{tool.name:24} {tool.version:10} {tool.origin:8} {tool.path}")
