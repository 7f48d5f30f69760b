"""Runs of the engine in an environment's stacks: when it deployed, previewed, refreshed or destroyed them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.actions.deployment_target import CONTROL_TOOLS
from infra.errors import UnreachableError
from stacks import environment_stack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cli.actions.deployment_target import DeploymentTarget

RUNS_PER_LAYER = 10
_COMMANDS = {"update": "deploy", "resource-import": "import"}
"""Commands of `esq` by kind of run, where they differ."""


@dataclass(frozen=True)
class StackRun:
    """A run of the engine in the stack of a layer.

    Attributes:
        layer: name of the layer.
        command: what it did: `deploy`, `refresh`, `destroy`, `import`.
        result: `succeeded`, `failed` or `in-progress`.
        started_at: its start (UTC).
        ended_at: its end (UTC); None while it runs.
        changes: changed resources.
    """

    layer: str
    command: str
    result: str
    started_at: dt.datetime
    ended_at: dt.datetime | None
    changes: int

    def __str__(self) -> str:
        return f"{self.command} of {self.layer}: {self.result}, {self.changes} changes"


def deploy_history(target: DeploymentTarget) -> list[StackRun]:
    """Return the last runs in the stacks of all layers, newest first.

    Raises:
        UnreachableError: the engine is not built on this machine.
        EsqError: the backend rejects the request.
    """
    if missing := target.tools.missing(CONTROL_TOOLS):
        raise UnreachableError(
            f"the history of the stacks needs {', '.join(missing)}, which this machine has not built",
            location="toolchain",
            remedy="Build it: `esq toolchain build`.",
        )
    workspace = target.engine().workspace
    runs = [
        parse_run(layer, run)
        for layer in workspace.layers() - {environment_stack.LAYER}
        for run in workspace.history(layer, RUNS_PER_LAYER)
    ]
    return sorted(runs, key=lambda run: run.started_at, reverse=True)


def parse_run(layer: str, run: Mapping[str, Any]) -> StackRun:
    """Return a run from the engine's list.

    Args:
        layer: name of the layer.
        run: element of the output of `pulumi stack history --json`.
    """
    changes: Mapping[str, int] = run.get("resourceChanges") or {}
    ended_at = run.get("endTime")
    return StackRun(
        layer,
        _COMMANDS.get(run["kind"], run["kind"]),
        run["result"],
        dt.datetime.fromisoformat(run["startTime"]),
        dt.datetime.fromisoformat(ended_at) if ended_at else None,
        sum(count for operation, count in changes.items() if operation != "same"),
    )
