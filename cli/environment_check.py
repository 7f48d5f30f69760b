"""Comparison of an environment with its record: a command must not touch another cluster, backend or store.

A copy of the record in the environment's folder makes this one request to the API server. The record with the
stacks is read when the copy is missing or differs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from infra.environment_record import EnvironmentRecord, differences
from infra.errors import Problem, ProblemsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.environment import Environment

_STORE, _CLUSTER = "offsite_store", "cluster_uid"


def require_recorded(
    environment: Environment,
    current: EnvironmentRecord,
    read_record: Callable[[], EnvironmentRecord | None],
) -> None:
    """Require that a deployed environment is bound to what its record says.

    Args:
        environment: the environment.
        current: what it is bound to now.
        read_record: returns the record that is kept with the stacks; None when it was never deployed.

    Raises:
        ProblemsError: everything that differs.
        UsageError: it was never deployed.
    """
    copy = environment.load_record()
    if copy is not None and not differences(copy, current):
        return
    record = read_record()
    if record is not None:
        environment.save_record(record)
    elif copy is None:
        raise UsageError(
            f"`{environment.name}` is not deployed",
            location=f"backend {current.backend}",
            remedy=f"Deploy it: `esq deploy {environment.name}`. If it is deployed from another machine, set "
            "`backend` in its definition to the one that is used there.",
        )
    _require_equal(record or copy, current)


def record_of_deploy(
    environment: Environment,
    current: EnvironmentRecord,
    recorded: EnvironmentRecord | None,
    other_environment: str | None,
) -> EnvironmentRecord:
    """Return the record that a deploy saves; only its off-site store and version may change.

    Args:
        environment: the environment.
        current: what it is bound to now.
        recorded: the record that is kept with the stacks; None at the first deploy.
        other_environment: environment that the cluster holds already; None when there is none.

    Raises:
        ProblemsError: everything that differs.
        UsageError: the cluster holds an environment that this backend does not know.
    """
    known = recorded or environment.load_record()
    if known is not None:
        _require_equal(known, current, but=_STORE)
    if recorded is None and other_environment is not None:
        raise UsageError(
            f"the cluster holds the environment `{other_environment}`, which the backend does not know",
            location=f"backend {current.backend}",
            remedy="Correct `backend` or `cluster` in the definition; a cluster holds one environment."
            + (
                " The embedded one is deleted by `esq destroy local`." if environment.is_local_cluster else ""
            ),
        )
    return current


def record_of_recovery(current: EnvironmentRecord, recorded: EnvironmentRecord | None) -> EnvironmentRecord:
    """Return the record that a recovery saves: the cluster is a new one, everything else is as recorded.

    Args:
        current: what the environment is bound to now.
        recorded: the record that is kept with the stacks; None after an import of the credentials.

    Raises:
        ProblemsError: everything that differs.
    """
    if recorded is not None:
        _require_equal(recorded, current, but=_CLUSTER)
    return current


def _require_equal(recorded: EnvironmentRecord | None, current: EnvironmentRecord, *, but: str = "") -> None:
    by_field = differences(recorded, current) if recorded else {}
    if problems := [problem for field, problem in by_field.items() if field != but]:
        _refuse(current.environment, problems)


def _refuse(name: str, problems: list[Problem]) -> NoReturn:
    raise ProblemsError(f"`{name}` is not what was deployed under this name; nothing was changed", problems)
