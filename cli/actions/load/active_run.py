"""Lock of a load test: one per environment and machine. The kernel releases it when the process dies.

Two load tests at once would measure each other. One that another machine generates in the cluster is found
there.
"""

from __future__ import annotations

import datetime as dt
import fcntl
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from infra.errors import EsqError
from infra.process_identity import ProcessIdentity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cli.environment import Environment


class ActiveLoad(BaseModel):
    """A load test that a process of this machine runs.

    Attributes:
        scenario: name of its scenario.
        owner: its process.
        started_at: start (ISO 8601, UTC).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scenario: str
    owner: ProcessIdentity
    started_at: str

    def __str__(self) -> str:
        return f"`{self.scenario}` (process {self.owner.pid}) since {self.started_at}"


@contextmanager
def exclusive_load(environment: Environment, scenario: str) -> Iterator[None]:
    """Exclude other load tests of the environment on this machine.

    Args:
        environment: the environment under load.
        scenario: name of the scenario.

    Raises:
        EsqError: another one runs.
    """
    path = _path(environment)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise refusal(environment.name, [_read(file) or "one that has just started"]) from None
        started_at = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        file.truncate(0)
        file.write(
            ActiveLoad(
                scenario=scenario, owner=ProcessIdentity.current(), started_at=started_at
            ).model_dump_json()
        )
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def active_load(environment: Environment) -> ActiveLoad | None:
    """Return the load test that a process of this machine runs; None if there is none."""
    try:
        with _path(environment).open(encoding="utf-8") as file:
            load = _read(file)
    except FileNotFoundError:
        return None
    return load if load and load.owner.is_alive else None


def refusal(environment: str, running: Sequence[object]) -> EsqError:
    """Return the error of a load test that would run beside others.

    Args:
        environment: name of the environment.
        running: the others.
    """
    return EsqError(
        f"a load test runs on `{environment}`: {', '.join(map(str, running))}",
        location=environment,
        remedy=f"Wait until it ends, or end it: `esq load stop {environment}`.",
    )


def _path(environment: Environment) -> Path:
    return environment.folder / "load" / "run.lock"


def _read(file: IO[str]) -> ActiveLoad | None:
    file.seek(0)
    with suppress(ValueError):  # empty, incomplete or damaged
        return ActiveLoad.model_validate_json(file.read())
    return None
