"""How the backups are: what the witness saw last, and what of it is a trouble."""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - pydantic reads the annotations when the class is made
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.components.backup import WITNESS
from infra.components.backup.inside.selection import Backup  # noqa: TC001 - pydantic reads it
from infra.components.report import NoAnswerError, first_answer
from services.contracts.backups import STALE_SECONDS

if TYPE_CHECKING:
    from infra.components.report import Pods

REPORT = "/tmp/report.json"  # noqa: S108 - in the witness's pod
SILENT_SECONDS = 300.0
"""The witness looks once a minute; so long without a word, it is no witness."""
FIRST_SECONDS = 3600.0
"""A database gets its first backup within minutes of its beginning; an hour later it is overdue."""
ARCHIVE_SECONDS = 300.0
"""A repository may be away for so long before it is a trouble."""
_NAMES = {1: "the environment's store", 2: "the vault"}


class RepositoryState(BaseModel):
    """A repository, as pgBackRest tells.

    Attributes:
        number: 1 is the environment's own store, 2 the vault.
        trouble: why it cannot be read; empty when it can.
        newest_wal: the newest piece of Postgres' log in it.
    """

    model_config = ConfigDict(frozen=True)

    number: int
    trouble: str = ""
    newest_wal: str | None = None


class DrillState(BaseModel):
    """The last drill.

    Attributes:
        ended: when (UTC).
        good: everything that was restored is as it was recorded.
        faults: what is not.
        rpo_seconds: age of the newest heartbeat that was restored, when the drill began.
        rto_seconds: from the first request until the restored server answered.
        rows: compared.
    """

    model_config = ConfigDict(frozen=True)

    ended: dt.datetime
    good: bool
    faults: list[str] = Field(default_factory=list)
    rpo_seconds: float | None = None
    rto_seconds: float | None = None
    rows: int = 0


class Seen(BaseModel):
    """What the witness saw.

    Attributes:
        at: when (UTC).
        origin: when the database began, or began again from a backup.
        restored_until: the last moment of the time before `origin`; None when there is none.
        archived_wal: the last piece of the log that was handed over.
        archived_at: when.
        archive_failed_at: when that last failed.
        repositories: where backups go.
        backups: that can be restored, oldest first.
        drill: the last one.
        troubles: what the witness itself met.
    """

    model_config = ConfigDict(frozen=True)

    at: dt.datetime
    origin: dt.datetime
    restored_until: dt.datetime | None = None
    archived_wal: str | None = None
    archived_at: dt.datetime | None = None
    archive_failed_at: dt.datetime | None = None
    repositories: list[RepositoryState]
    backups: list[Backup]
    drill: DrillState | None = None
    troubles: list[str] = Field(default_factory=list)


def read(pods: Pods) -> Seen:
    """Ask the witness.

    Raises:
        NoAnswerError: it is not there, or has seen nothing yet.
    """
    text = first_answer(pods.of(WITNESS), lambda pod: pods.run(pod, "main", ["cat", REPORT]))
    try:
        return Seen.model_validate_json(text)
    except ValidationError as error:
        raise NoAnswerError(f"{WITNESS}: its report cannot be read: {error.error_count()} faults") from error


def troubles(seen: Seen, now: dt.datetime) -> list[str]:
    """Return what is wrong, a sentence each; nothing is wrong with what was not due yet."""
    if (now - seen.at).total_seconds() > SILENT_SECONDS:
        return [f"{WITNESS} has said nothing for {told(now - seen.at)}"]
    age = (now - seen.origin).total_seconds()
    found = [] if age < FIRST_SECONDS else list(seen.troubles)
    for repository in seen.repositories:
        found += _repository(repository, seen, now)
    if seen.archive_failed_at and seen.archive_failed_at > (seen.archived_at or seen.origin):
        behind = now - (seen.archived_at or seen.origin)
        if behind.total_seconds() > ARCHIVE_SECONDS:
            found.append(f"the log has not been archived for {told(behind)}")
    return found + _drill(seen.drill, age, now)


def _repository(repository: RepositoryState, seen: Seen, now: dt.datetime) -> list[str]:
    name, young = _NAMES[repository.number], (now - seen.origin).total_seconds() < FIRST_SECONDS
    held = [each for each in seen.backups if each.repository == repository.number]
    if repository.trouble and not young:
        return [f"{name} cannot be read: {repository.trouble}"]
    if not held:
        return [] if young else [f"there is no backup in {name}"]
    found = []
    if (now - held[-1].ended).total_seconds() > STALE_SECONDS:
        found.append(f"the newest backup in {name} is {told(now - held[-1].ended)} old")
    wal = seen.archived_wal or ""
    if repository.newest_wal and len(wal) == _WAL_DIGITS and repository.newest_wal < wal and not young:
        found.append(f"{name} lacks a part of the log: no later second can be restored until the next backup")
    return found


_WAL_DIGITS = 24
"""Other names are of timelines and backups."""


def _drill(drill: DrillState | None, age: float, now: dt.datetime) -> list[str]:
    if drill is None:
        return ["no drill has shown yet that backups can be restored"] if age > STALE_SECONDS else []
    if not drill.good:
        return [f"the last drill failed: {(drill.faults or ['no reason given'])[0]}"[:400]]
    late = (now - drill.ended).total_seconds() > STALE_SECONDS
    return [f"the last drill was {told(now - drill.ended)} ago"] if late else []


def summary(seen: Seen, now: dt.datetime) -> str:
    """Say in one line how the backups are."""
    newest = f"newest {told(now - seen.backups[-1].ended)} old" if seen.backups else "none yet"
    archived = (
        f"log archived {told(now - seen.archived_at)} ago" if seen.archived_at else "log not archived yet"
    )
    if seen.drill is None:
        return f"{newest}, {archived}, no drill yet"
    verdict = "good" if seen.drill.good else "failed"
    return f"{newest}, {archived}, drill {verdict} {told(now - seen.drill.ended)} ago"


def told(age: dt.timedelta) -> str:
    """Say an age in one unit, e.g. `7 min`."""
    seconds = max(age.total_seconds(), 0.0)
    for unit, length, most in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < most:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"
