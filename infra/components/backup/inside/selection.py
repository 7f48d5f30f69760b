"""Which backup a moment is restored from: decisions over what `pgbackrest info` tells."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

LATEST = "latest"
VAULT = 2
"""Number of the repository outside of the environment."""


class NotRestorableError(Exception):
    """No backup reaches what was asked for; the text says what can be had."""


@dataclass(frozen=True)
class Backup:
    """A finished backup.

    Attributes:
        label: pgBackRest's name of it.
        kind: `full`, `diff` or `incr`.
        begun: when it was begun (UTC).
        ended: from when on it can be restored (UTC).
        repository: number of the repository that holds it.
        size: bytes of the database.
        stored: bytes that this backup added to the repository.
    """

    label: str
    kind: str
    begun: dt.datetime
    ended: dt.datetime
    repository: int
    size: int
    stored: int


@dataclass(frozen=True)
class Choice:
    """What to hand to `pgbackrest restore`.

    Attributes:
        backup: to begin with; None leaves it to pgBackRest.
        arguments: all options, ready for a command line or a file with one a line.
    """

    backup: Backup | None
    arguments: tuple[str, ...]


def backups(info: Sequence[dict[str, Any]]) -> list[Backup]:
    """Return the backups that are sound, oldest first, of `pgbackrest info --output=json`."""
    found = [
        Backup(
            label=each["label"],
            kind=each["type"],
            begun=dt.datetime.fromtimestamp(each["timestamp"]["start"], dt.UTC),
            ended=dt.datetime.fromtimestamp(each["timestamp"]["stop"], dt.UTC),
            repository=each["database"]["repo-key"],
            size=each["info"]["size"],
            stored=each["info"]["repository"]["delta"],
        )
        for stanza in info
        for each in stanza["backup"]
        if not each.get("error")
    ]
    return sorted(found, key=lambda each: (each.ended, -each.repository))


def moment(text: str) -> dt.datetime:
    """Read a time; without an offset it is UTC.

    Raises:
        ValueError: it is none.
    """
    found = dt.datetime.fromisoformat(text.strip())
    return found.astimezone(dt.UTC) if found.tzinfo else found.replace(tzinfo=dt.UTC)


def choose(
    found: Sequence[Backup],
    wish: str,
    *,
    origin: dt.datetime | None = None,
    repository: int | None = None,
) -> Choice:
    """Return how to restore `wish`.

    Args:
        found: backups, oldest first.
        wish: `latest`, the label of a backup, or a time (ISO 8601; UTC unless it says otherwise).
        origin: when the database began, or was last set back. A time after it can only be reached from a
            backup begun after it: earlier ones may belong to a past that is no more.
        repository: only from this one; otherwise the first that has what is needed.

    Raises:
        NotRestorableError: nothing reaches it.
        ValueError: it is neither a label nor a time.
    """
    here = [each for each in found if repository in (None, each.repository)]
    if not here:
        raise NotRestorableError("there is no backup yet")
    if wish == LATEST:
        return _of(_since(here, origin)[-1], ("--type=default",))
    labelled = [each for each in here if each.label == wish]
    if labelled:
        return _of(labelled[-1], ("--type=immediate", "--target-action=promote"))
    target = moment(wish)
    return _at(_since(here, origin) if origin is None or target > origin else here, target)


def _since(found: Sequence[Backup], origin: dt.datetime | None) -> list[Backup]:
    since = [each for each in found if origin is None or each.begun > origin]
    if not since:
        raise NotRestorableError(f"there is no backup yet of the time since {origin:%Y-%m-%dT%H:%M:%SZ}")
    return since


def _at(found: Sequence[Backup], target: dt.datetime) -> Choice:
    reaching = [each for each in found if each.ended < target]
    if not reaching:
        first = min(each.ended for each in found)
        raise NotRestorableError(f"the first moment that can be restored is {first:%Y-%m-%dT%H:%M:%SZ}")
    # The first repository is nearer; the vault is asked for what only it still has.
    newest = max(reaching, key=lambda each: (each.ended, -each.repository))
    return _of(newest, ("--type=time", f"--target={stamp(target)}", "--target-action=promote"))


def stamp(target: dt.datetime) -> str:
    """Return a time as Postgres reads it."""
    return target.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")


def _of(backup: Backup, options: tuple[str, ...]) -> Choice:
    return Choice(backup, (f"--repo={backup.repository}", f"--set={backup.label}", *options))


def from_vault(wish: str) -> Choice:
    """Return how to restore what the vault alone still has, when nobody can be asked what that is.

    Raises:
        ValueError: neither `latest` nor a time.
    """
    if wish == LATEST:
        return Choice(None, (f"--repo={VAULT}", "--type=default"))
    options = ("--type=time", f"--target={stamp(moment(wish))}", "--target-action=promote")
    return Choice(None, (f"--repo={VAULT}", *options))
