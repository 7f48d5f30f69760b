"""Recognises a deploy that would change nothing, without the engine (ADR 50).

After a complete deploy, a file in the environment's folder holds two digests: of everything that determines
what is declared, and of the objects in the cluster. If both are still the same, the engine would read every
object and change none. A changed setting, program or tool, an object that somebody has changed or deleted, a
run that did not complete, and a deploy by another machine that changed something all lead to a full run.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from kubernetes.client.exceptions import ApiException
from pydantic import BaseModel, ConfigDict, ValidationError

import infra
from cli.engine_results import StackResult
from cli.provider_process import PROGRAM
from infra.files import write_atomically
from infra.live_objects import objects_digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.actions.deployment_target import DeploymentTarget
    from cli.environment import Environment
    from infra.stack_settings import StackSettings

_PROJECT = Path(infra.__file__).parents[1]
_PROGRAM_FOLDERS = ("cli", "infra", "locks", "services", "stacks")
"""Folders with everything that decides what is declared, and how the engine is run."""


class CompleteDeploy(BaseModel):
    """What the last complete deploy was made from, and what it left in the cluster.

    Attributes:
        inputs: digest of settings, credentials, programs and tools.
        objects: digest of the objects in the cluster.
        counts: number of resources by layer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: str
    objects: str
    counts: dict[str, int]


def forget(environment: Environment) -> None:
    """Forget the last complete deploy: something else changes the environment or its stacks.

    Args:
        environment: the environment.
    """
    _file(environment).unlink(missing_ok=True)


def remember(
    target: DeploymentTarget, settings: Sequence[StackSettings], results: Sequence[StackResult]
) -> None:
    """Remember a complete deploy.

    Args:
        target: the deployment target.
        settings: settings of all layers.
        results: what the engine did, by layer.
    """
    if objects := _objects(target):
        counts = {
            result.layer: sum(count for op, count in result.counts.items() if op != "delete")
            for result in results
        }
        deploy = CompleteDeploy(inputs=_inputs(target, settings), objects=objects, counts=counts)
        write_atomically(_file(target.environment), deploy.model_dump_json())


def unchanged_layers(target: DeploymentTarget, settings: Sequence[StackSettings]) -> list[StackResult] | None:
    """Return results without changes if a deploy would change nothing; None if the engine has to find out.

    Args:
        target: the deployment target.
        settings: settings of all layers.
    """
    try:
        last = CompleteDeploy.model_validate_json(_file(target.environment).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValidationError):
        return None
    if last.inputs != _inputs(target, settings) or last.objects != _objects(target):
        return None
    return [StackResult(layer, (), {"same": count}) for layer, count in last.counts.items()]


def _file(environment: Environment) -> Path:
    return environment.folder / "complete-deploy.json"


def _objects(target: DeploymentTarget) -> str:
    """Return the digest of the objects; empty if the account may not list all kinds."""
    try:
        return objects_digest(target.kubeconfig)
    except ApiException:
        return ""


def _inputs(target: DeploymentTarget, settings: Sequence[StackSettings]) -> str:
    sha = hashlib.sha256(target.current_record.model_dump_json().encode())
    for program in ("pulumi", PROGRAM):
        path = target.tools.path(program)
        sha.update(f"{path} {path.stat().st_mtime_ns}\n".encode())
    for layer in settings:
        sha.update(layer.model_dump_json().encode())
    for folder in _PROGRAM_FOLDERS:
        for file in sorted((_PROJECT / folder).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                sha.update(f"{file.relative_to(_PROJECT)}\n".encode() + file.read_bytes())
    return sha.hexdigest()
