"""Runs a layer's program against mocks and records every registered resource.

An assertion inside an `apply` that never runs would pass; an assertion on this recording cannot. The program runs in a
separate process, because the SDK keeps event loops and settings of a program in global state.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infra.stack_settings import StackSettings

DIGEST = "sha256:" + "0" * 64
"""Digest of an image."""


@dataclass
class Recording:
    """Registered resources: type, name and inputs, in order."""

    resources: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """Return the inputs of all resources of a kind, e.g. `StatefulSet`."""
        return [inputs for token, _, inputs in self.resources if token.rpartition(":")[2] == kind]

    def named(self, kind: str, name: str) -> dict[str, Any]:
        """Return the inputs of the resource of a kind whose object has the given name."""
        (resource,) = (inputs for inputs in self.of_kind(kind) if inputs["metadata"]["name"] == name)
        return resource

    def pods(self) -> dict[str, dict[str, Any]]:
        """Return the pod template of every workload, by kind and name."""
        kinds = ("StatefulSet", "Deployment", "DaemonSet", "Job", "CronJob")
        return {
            f"{kind} {inputs['metadata']['name']}": inputs["spec"].get("jobTemplate", inputs)["spec"][
                "template"
            ]
            for kind in kinds
            for inputs in self.of_kind(kind)
        }


def record(layer: str, settings: StackSettings) -> Recording:
    """Run the program of `stacks.layers.<layer>` and return the registered resources."""
    argv = [sys.executable, __file__, f"stacks.layers.{layer}"]
    # The same modules as in this process, however it found them.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.run(
        argv,
        env=environment,
        input=settings.model_dump_json(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr
    return Recording([tuple(resource) for resource in json.loads(process.stdout)])


def _main(module: str) -> None:
    import pulumi  # noqa: PLC0415 - only this process runs programs

    from infra.stack_settings import parse_settings  # noqa: PLC0415 - same

    resources = []

    class Recorder(pulumi.runtime.Mocks):
        def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
            resources.append((args.typ, args.name, args.inputs))
            return f"{args.name}-id", args.inputs

        def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
            raise AssertionError(f"a program must not call external functions: {args.token}")

    pulumi.runtime.set_mocks(Recorder(), project="esq", stack="local-layer")
    program = importlib.import_module(module).program
    pulumi.runtime.test(program)(parse_settings(json.load(sys.stdin)))
    json.dump(resources, sys.stdout)


if __name__ == "__main__":
    _main(sys.argv[1])
