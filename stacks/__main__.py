"""Entry point of `pulumi up`, where Pulumi's language host for Python is installed.

The layer is part of the stack's name. The configuration of the stack is the one that `esq deploy` writes:
`esq:settings`. The credentials are in the environment stack.
"""

from __future__ import annotations

import importlib
import json

import pulumi

from infra.stack_settings import parse_settings
from stacks.environment_stack import read_stored


def main() -> None:
    """Run the program of the layer of the stack `<environment>-<layer>`."""
    environment, _, layer = pulumi.get_stack().rpartition("-")
    settings = json.loads(pulumi.Config().get("settings") or "{}")
    values = {"environment": environment, "layer": layer, **settings}
    stored = read_stored(environment)
    if stored is not None and layer != "cluster":
        values["credentials"] = stored.credentials
    parsed = parse_settings(values)
    importlib.import_module(f"stacks.layers.{parsed.layer}").program(parsed)


main()
