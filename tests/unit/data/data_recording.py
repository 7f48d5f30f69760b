"""Runs a layer's program against mocks and keeps every resource that it registered, for tests to look at.

An assertion inside an `apply` that is never reached passes; one over this recording cannot. The program
runs in a process of its own, for the SDK keeps event loops and settings of a program in global state.
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
    from infra.config import StackSettings


@dataclass
class Recording:
    """What a program registered: inputs by kind, in order."""

    resources: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the inputs of all resources of `kind`, e.g. `StatefulSet`."""
        return [inputs for token, _, inputs in self.resources if token.rpartition(":")[2] == kind]

    def named(self, kind: str, name: str) -> dict[str, Any]:
        """Return the inputs of the one resource of `kind` whose object is called `name`."""
        (found,) = (each for each in self.of(kind) if each["metadata"]["name"] == name)
        return found

    def pods(self) -> dict[str, dict[str, Any]]:
        """Return the pod template of everything that makes pods, by kind and name."""
        kinds = ("StatefulSet", "Deployment", "DaemonSet", "Job", "CronJob")
        return {
            f"{kind} {each['metadata']['name']}": each["spec"].get("jobTemplate", each)["spec"]["template"]
            for kind in kinds
            for each in self.of(kind)
        }


def record(layer: str, settings: StackSettings) -> Recording:
    """Run the program of `stacks.layers.<layer>` to its end and return what it registered."""
    argv = [sys.executable, __file__, f"stacks.layers.{layer}"]
    # The same modules as here, however this process came to see them.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        argv,
        env=environment,
        input=settings.model_dump_json(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return Recording([tuple(each) for each in json.loads(done.stdout)])


def _main(module: str) -> None:
    import pulumi  # noqa: PLC0415 - only this process runs programs

    from infra.config import parse  # noqa: PLC0415 - same

    recorded = []

    class Recorder(pulumi.runtime.Mocks):
        def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
            recorded.append((args.typ, args.name, args.inputs))
            return f"{args.name}-id", args.inputs

        def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
            raise AssertionError(f"a program must not ask the outside while it declares: {args.token}")

    pulumi.runtime.set_mocks(Recorder(), project="esq", stack="local-layer")
    program = importlib.import_module(module).program
    pulumi.runtime.test(program)(parse(json.load(sys.stdin)))
    json.dump(recorded, sys.stdout)


if __name__ == "__main__":
    _main(sys.argv[1])
