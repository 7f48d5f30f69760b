"""Bind a deployed environment to another backend, cluster or off-site store: save a new record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.actions.deployment_target import CONTROL_TOOLS, open_target
from cli.environment_lock import hold_environment
from cli.environment_store import EnvironmentStore
from infra.environment_record import differences
from infra.errors import UsageError

if TYPE_CHECKING:
    from cli.environment import Environment
    from infra.progress import ProgressReporter


def rebind(environment: Environment, confirmed_name: str | None, progress: ProgressReporter) -> list[str]:
    """Record what an environment is bound to now, e.g. after its stacks were moved to another backend.

    Args:
        environment: the environment.
        confirmed_name: its name as confirmation.
        progress: reports steps.

    Returns:
        What has changed.

    Raises:
        UsageError: there are changes, and the confirmation is missing or names another environment.
        EsqError: the environment is not deployed.
    """
    with hold_environment(environment, "env rebind"):
        target = open_target(environment, progress)
        target.tools.ensure(CONTROL_TOOLS, progress)
        store, current = EnvironmentStore(target.engine()), target.current_record
        stored = store.require()
        problems = differences(stored.record, current).values() if stored.record else ()
        changes = [f"{problem.location}: {problem.message}" for problem in problems]
        if confirmed_name != (name := environment.name):
            raise UsageError(
                f"binding `{name}` to something else requires confirmation",
                location="--confirm",
                remedy=f"If this is intended: `esq env rebind {name} --confirm {name}`.",
                detail="\n".join(f"- {change}" for change in changes) or "- nothing differs",
            )
        with progress.step("save record") as step:
            store.save(stored.model_copy(update={"record": current}), expected=stored, step=step)
        environment.save_record(current)
    return changes
