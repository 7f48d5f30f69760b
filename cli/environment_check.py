"""Comparison of an environment with its record: a command must not touch another cluster, backend or store.

A copy of the record in the environment's folder makes this one request to the API server. The record with the
stacks is read when the copy is missing or differs, and before anything changes: another machine may have
replaced it since the copy was made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.environment import LOCAL
from infra.environment_record import SECRETS_PROVIDER, EnvironmentRecord, differences
from infra.errors import ProblemsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from cli.environment import Environment


def require_unchanged(
    environment: Environment,
    current: EnvironmentRecord,
    read_record: Callable[[], EnvironmentRecord | None],
    *,
    may_change: Collection[str] = (),
    use_copy: bool = True,
) -> EnvironmentRecord | None:
    """Require that an environment is bound to what its record says; one without a record is bound to nothing.

    Args:
        environment: the environment.
        current: what it is bound to now.
        read_record: returns the record that is kept with the stacks; None when there is none.
        may_change: fields of `differences` that the command may change.
        use_copy: whether a copy on this machine that does not differ is enough.

    Returns:
        The record; None for an environment that was never deployed.

    Raises:
        ProblemsError: everything that differs.
    """
    copy = environment.load_record()
    by_field = differences(copy, current) if copy else {}
    if use_copy and copy is not None and not by_field:
        return copy
    record = None if SECRETS_PROVIDER in by_field else read_record()
    if record is not None:
        environment.save_record(record)
    recorded = record or copy
    by_field = differences(recorded, current) if recorded else {}
    if problems := [problem for field, problem in by_field.items() if field not in may_change]:
        raise ProblemsError(
            f"`{environment.name}` is not what was deployed under this name; nothing was changed", problems
        )
    return recorded


def require_unoccupied(current: EnvironmentRecord, occupant: str | None) -> None:
    """Require that a cluster holds no environment, or none that the backend knows.

    A machine without the right backend has no record to compare.

    Args:
        current: what the environment is bound to now.
        occupant: name of the environment that the cluster holds; None when it holds none.

    Raises:
        UsageError: it holds one.
    """
    if occupant is not None:
        start_new = (
            " To start anew on this machine: `esq destroy local`." if current.environment == LOCAL else ""
        )
        raise UsageError(
            f"the cluster holds the environment `{occupant}`, which the backend does not know",
            location=f"backend {current.backend}",
            remedy="Correct `backend` or `cluster` in the definition: a cluster holds one environment, "
            f"and its backend has its credentials.{start_new}",
        )
