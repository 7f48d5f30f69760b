"""Result of a run of the engine, and its failures as errors for users."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pulumi.automation.errors import ConcurrentUpdateError

from cli.diagnostics import diagnose
from cli.pulumi_events import strip_colours
from infra.errors import EsqError

if TYPE_CHECKING:
    from pathlib import Path

    from pulumi.automation.errors import CommandError

    from cli.pulumi_events import EngineRun, ResourceChange, ResourceFailure

MAX_DETAIL_LENGTH = 2_000
"""Characters of the engine's output in an error."""
_COMMANDS = {"up": "deploy"}
"""Commands of `esq` by verb of the engine, where they differ."""
_WRONG_PASSPHRASE = "incorrect passphrase"  # noqa: S105 - a message of the engine


class DeployFailedError(EsqError):
    """A layer failed. Completed operations are kept, and the next run resumes."""


class EnvironmentLockedError(EsqError):
    """Another run uses the environment."""


class PassphraseError(EsqError):
    """The passphrase of the environment's secrets is missing or another one."""


@dataclass(frozen=True)
class StackResult:
    """Result of a run, or of its preview.

    Attributes:
        layer: name of the layer.
        changes: changed resources.
        counts: resources by operation.
        warnings: warnings of the engine and the provider.
    """

    layer: str
    changes: tuple[ResourceChange, ...]
    counts: dict[str, int]
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "layer": self.layer,
            "changes": self.counts,
            "resources": [asdict(change) for change in self.changes],
        }


def command_failure(error: CommandError, stack: str) -> EsqError | None:
    """Return the failure of a command for reasons outside of its resources; None for any other failure.

    Args:
        error: error of the engine.
        stack: name of the stack, `<environment>-<layer>`.
    """
    environment = stack.rpartition("-")[0]
    if isinstance(error, ConcurrentUpdateError):
        owners = [line.strip() for line in str(error).splitlines() if " created by " in line]
        return EnvironmentLockedError(
            f"the stack {stack} is locked by another run",
            location=f"stack {stack}",
            remedy=f"Wait until it ends; if it is dead: `esq state unlock {environment}`.",
            detail="\n".join(owners),
        )
    if _WRONG_PASSPHRASE in str(error):
        return PassphraseError(
            f"the secrets of `{environment}` are encrypted with another passphrase",
            location=f"stack {stack}",
            remedy="Copy the file `passphrase` of the environment's folder from the machine that deployed it "
            "first, or set PULUMI_CONFIG_PASSPHRASE_FILE.",
        )
    return None


def run_failure(error: CommandError, run: EngineRun, stack: str, verb: str, kubeconfig: Path) -> EsqError:
    """Return the failure of a run with its failed resources and, for a deploy, the state of their pods.

    Args:
        error: error of the engine.
        run: events of the run.
        stack: name of the stack, `<environment>-<layer>`.
        verb: `up`, `preview`, `drift` or `destroy`.
        kubeconfig: the cluster that is asked for the state of failed objects.
    """
    if failure := command_failure(error, stack):
        return failure
    environment, _, layer = stack.rpartition("-")
    failures = list(run.failures.values())
    message = f"layer {layer} failed" if verb == "up" else f"{verb} of {layer} failed"
    if failures:
        message += f": {', '.join(failure.resource for failure in failures)}"
    lines = [
        f"- {failure.resource}: {reason}"
        for failure in failures
        for reason in (*failure.reasons, *(_diagnosis(failure, kubeconfig) if verb == "up" else ()))
    ]
    lines += [f"- {text}" for text in run.errors]
    return DeployFailedError(
        message,
        location=f"stack {stack}",
        remedy=f"Correct the problem and repeat `esq {_COMMANDS.get(verb, verb)} {environment}`: it resumes.",
        detail="\n".join(lines) or strip_colours(str(error))[-MAX_DETAIL_LENGTH:],
    )


def _diagnosis(failure: ResourceFailure, kubeconfig: Path) -> list[str]:
    """Return the state of the object in the cluster, without what the provider reported already."""
    if failure.reference is None:
        return []
    entries = diagnose(kubeconfig, failure.reference)
    return [entry for entry in entries if not any(entry in reason for reason in failure.reasons)]
