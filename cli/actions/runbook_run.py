"""`esq runbook run`: the runs of an environment, put together from its parts."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from typing import TYPE_CHECKING

from cli.actions.deployment_target import open_target
from cli.actions.triage import not_deployed
from cli.environment import definitions_dir
from infra import subprocesses
from infra.cluster_identity import deployed_environment
from infra.daemon_calls import start
from infra.errors import EsqError, UsageError
from infra.subprocesses import PYTHON_MODULE, CommandFailedError
from runbooks.policy import load_policy
from runbooks.run_store import RunStore
from runbooks.runner import CommandResult, Runner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cli.actions.deployment_target import DeploymentTarget
    from cli.environment import Environment
    from infra.progress import ProgressReporter
    from runbooks.check import CheckContext
    from runbooks.policy import Policy
    from runbooks.run_record import RunRecord
    from runbooks.runner import Operator


_OWNER_TIMEOUT_SECONDS = 5.0


def run_store(environment: Environment) -> RunStore:
    """Return the runs of an environment on this machine."""
    return RunStore(environment.folder / "runbooks", environment.name, now=_now)


def environment_policy(environment: Environment) -> Policy:
    """Return what may run without a question in an environment.

    Raises:
        ProblemsError: all problems of its policy file.
    """
    return load_policy(definitions_dir() / "runbook-policies" / f"{environment.name}.yaml")


def open_run_target(environment: Environment, progress: ProgressReporter) -> DeploymentTarget:
    """Return the deployment target of an environment, also if its cluster does not answer.

    Args:
        environment: the environment.
        progress: reports builds of tools.

    Raises:
        EsqError: the environment is not deployed, or its cluster holds another one.
    """
    target = open_target(environment, progress)
    if not target.kubeconfig.is_file() or _owner(target.kubeconfig) not in {environment.name, None}:
        raise not_deployed(environment, str(target.kubeconfig))
    return target


def _owner(kubeconfig: Path) -> str | None:
    """Return the environment that a cluster holds; None if it does not answer."""
    try:
        return start(deployed_environment, kubeconfig).result(_OWNER_TIMEOUT_SECONDS) or ""
    except (EsqError, TimeoutError):
        return None


def open_runner(
    environment: Environment,
    kubeconfig: Path,
    operator: Operator,
    open_context: Callable[[], CheckContext],
) -> Runner:
    """Return the runner of an environment.

    Args:
        environment: the environment.
        kubeconfig: kubeconfig of its cluster.
        operator: sees the steps and decides about actions.
        open_context: returns fresh readings.
    """
    store = run_store(environment)
    return Runner(store, open_context, command_runner(kubeconfig), operator, now=_now)


def find_run(store: RunStore, runbook: str, *, resume: bool) -> RunRecord:
    """Return the run to work on: a new one, or with `--resume` the last open one.

    Args:
        store: the runs of the environment.
        runbook: name of the runbook.
        resume: whether an open run is continued.

    Raises:
        RunInProgressError: a run of this runbook is open, and is not to be continued.
        UsageError: none is open that could be continued.
    """
    if not resume:
        return store.create(runbook)
    open_runs = [record for record in store.records() if record.is_open and record.runbook == runbook]
    if not open_runs:
        raise UsageError(
            f"no run of `{runbook}` is interrupted or waits for a person",
            location="--resume",
            remedy="Start one without --resume.",
        )
    return open_runs[-1]


def command_runner(kubeconfig: Path) -> Callable[[Sequence[str], float], CommandResult]:
    """Return the function that runs commands of `esq` and kubectl against a cluster.

    Args:
        kubeconfig: kubeconfig of the cluster.
    """

    def _run(argv: Sequence[str], timeout_seconds: float) -> CommandResult:
        program, *arguments = argv
        try:
            output = subprocesses.run(
                [*_program(program), *arguments],
                timeout=timeout_seconds,
                env={**os.environ, "KUBECONFIG": str(kubeconfig)},
            )
        except CommandFailedError as error:
            return CommandResult(succeeded=False, reason=error.message, output=error.output)
        except EsqError as error:  # a program is missing: the next action may need another one
            return CommandResult(succeeded=False, reason=f"{error.message}. {error.remedy}", output="")
        return CommandResult(succeeded=True, reason="", output=output)

    return _run


def _program(name: str) -> tuple[str, ...]:
    if name == "esq":
        return (*PYTHON_MODULE, "cli.main")
    path = shutil.which(name)
    if path is None:
        raise EsqError(
            f"there is no {name} on this machine", location="PATH", remedy="`esq toolchain build` builds it."
        )
    return (path,)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
