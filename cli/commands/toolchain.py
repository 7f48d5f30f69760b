"""`esq toolchain` and `esq toolchain build`."""

from __future__ import annotations

import typer

from cli import output
from cli.output import AsJson  # noqa: TC001 - Typer reads annotations

app = output.command_group("List and build the tools.", invoke_without_command=True)


@app.callback()
def toolchain(context: typer.Context, *, json: AsJson = False) -> None:
    """List the tools with version and origin: on PATH, built, or missing."""
    if context.invoked_subcommand is None:
        _print_tools(as_json=json)


@app.command()
def build(*, json: AsJson = False) -> None:
    """Build every tool that is neither on PATH nor built."""
    from cli.actions.debian_packages import install  # noqa: PLC0415 - help needs none of it
    from cli.actions.deployment_target import open_toolchain  # noqa: PLC0415 - same
    from infra.zones import packages  # noqa: PLC0415 - same

    progress = output.progress_reporter(as_json=json)
    install(packages.missing(), progress)
    tools = open_toolchain(progress)
    tools.ensure([tool.name for tool in tools.list()], progress)
    _print_tools(as_json=json)


def _print_tools(*, as_json: bool) -> None:
    from cli.actions.deployment_target import open_toolchain  # noqa: PLC0415 - help needs none of it

    tools = open_toolchain(output.progress_reporter(as_json=True)).list()
    if as_json:
        output.print_json({"tools": [tool.model_dump() for tool in tools]})
        return
    for tool in tools:
        typer.echo(f"{tool.name:24} {tool.version:10} {tool.origin:8} {tool.path}")
