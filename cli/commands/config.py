"""`esq config show | set ENV`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import output
from cli.output import AsJson, Env  # noqa: TC001 - Typer reads annotations

app = output.command_group("Show and set fields of an environment's definition.")

_FIELD_HELP = "Path of a field, e.g. `sizes.postgres.memory`."
Field = Annotated[str, typer.Argument(metavar="FIELD", help=_FIELD_HELP)]


@app.command()
def show(
    env: Env,
    field: Annotated[
        str, typer.Argument(metavar="FIELD", help=f"{_FIELD_HELP} All by default.", show_default=False)
    ] = "",
    *,
    json: AsJson = False,
) -> None:
    """Show the effective value of a field: from the definition's file, or its default."""
    import yaml  # noqa: PLC0415 - help needs none of it

    from cli.actions.definition_fields import read_field  # noqa: PLC0415 - same

    value = read_field(env, field)
    if json:
        output.print_json({"environment": env, "field": field, "value": value})
    elif isinstance(value, dict | list):
        typer.echo(yaml.safe_dump(value, sort_keys=False, allow_unicode=True).rstrip())
    else:
        typer.echo("null" if value is None else str(value))


@app.command("set")
def set_value(
    env: Env,
    field: Field,
    value: Annotated[
        str,
        typer.Argument(metavar="VALUE", help="Value as YAML, e.g. `[a, b, c]`; `null` removes the field."),
    ],
    *,
    json: AsJson = False,
) -> None:
    """Set a field in the file of the definition. An invalid value changes nothing."""
    from cli.actions.definition_fields import set_field  # noqa: PLC0415 - help needs none of it

    file = set_field(env, field, value)
    if json:
        output.print_json({"environment": env, "field": field, "file": str(file)})
    else:
        typer.echo(f"{file}\nSee `esq preview {env}` for what it changes.")
