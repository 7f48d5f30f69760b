"""`esq open ENV`: the operations page."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import output
from cli.output import Env  # noqa: TC001 - Typer reads annotations

app = output.command_group()

Company = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Company whose campaigns are shown. Repeatable."),
]
Port = Annotated[int, typer.Option(help="Port on 127.0.0.1; a free one by default.", min=0, max=65535)]


@app.command("open")
def open_page(env: Env, company: Company = None, port: Port = 0) -> None:
    """Serve the operations page of an environment to this machine, until Ctrl-C.

    It is read-only, and reads the environment only while somebody views it.
    """
    from cli.environment import load_environment  # noqa: PLC0415 - not needed for help
    from cli.operations_page.page import open_server  # noqa: PLC0415 - imports clients and SDK

    with open_server(load_environment(env), company or [], port) as server:
        link = server.access.link
        typer.echo(f"Operations page of `{env}`; whoever has this address can read it:\n\n  {link}\n")
        typer.echo(
            f"From elsewhere first: ssh -L {server.server_port}:127.0.0.1:{server.server_port} THIS_MACHINE"
        )
        typer.echo("Ctrl-C ends it.")
        server.serve_forever()
