"""For `pulumi up` by hand, where Pulumi's language host for Python is installed.

The stack's name says which layer. Its configuration is what `esq deploy` keeps with it: `esq:settings`, and
`esq:credentials` as a secret.
"""

from __future__ import annotations

import importlib
import json

import pulumi

from infra.config import parse


def main() -> None:
    """Run the program of the layer that the stack `<environment>-<layer>` is."""
    environment, _, layer = pulumi.get_stack().rpartition("-")
    config = pulumi.Config()
    values = {"environment": environment, "layer": layer, **json.loads(config.get("settings") or "{}")}
    if secret := config.get("credentials"):
        values["credentials"] = json.loads(secret)
    settings = parse(values)
    importlib.import_module(f"stacks.layers.{settings.layer}").program(settings)


main()
