"""Entry point of `pulumi up`, where Pulumi's language host for Python is installed.

The layer is part of the stack's name. The configuration of the stack is the one that `esq deploy` stores:
`esq:settings`, and `esq:credentials` as a secret.
"""

from __future__ import annotations

import importlib
import json

import pulumi

from infra.stack_settings import parse_settings


def main() -> None:
    """Run the program of the layer of the stack `<environment>-<layer>`."""
    environment, _, layer = pulumi.get_stack().rpartition("-")
    config = pulumi.Config()
    values = {"environment": environment, "layer": layer, **json.loads(config.get("settings") or "{}")}
    if secret := config.get("credentials"):
        values["credentials"] = json.loads(secret)
    settings = parse_settings(values)
    importlib.import_module(f"stacks.layers.{settings.layer}").program(settings)


main()
