"""Scrubbing: every replica reads all of its data and verifies the checksums, which finds damage on a disk.

A damaged block of a replica is not noticed until it is read, which may be after the other replicas are lost.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from infra.errors import EsqError
from infra.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_FILE = "damage.json"


class Damage(BaseModel):
    """Damaged data of one replica.

    Attributes:
        pod: pod of the replica.
        location: the damaged file and the place in it, as the store names it.
        repaired: whether the store has replaced the data from another replica by itself.
    """

    model_config = ConfigDict(frozen=True)

    pod: str
    location: str
    repaired: bool = False

    def __str__(self) -> str:
        return f"{self.pod}: {self.location}"


def record_damage(folder: Path, pod: str, damages: Iterable[Damage]) -> None:
    """Note the damage that a scrub of a replica left; none means that it is intact.

    Args:
        folder: folder of the environment.
        pod: pod of the replica.
        damages: its damage.
    """
    left = _read(folder) | {pod: [str(damage) for damage in damages if not damage.repaired]}
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(folder / _FILE, json.dumps({name: lines for name, lines in left.items() if lines}))


def read_damage(folder: Path) -> list[str]:
    """Return the damage that the last scrubs of this machine left, one line each.

    Args:
        folder: folder of the environment.

    Raises:
        EsqError: the note cannot be read.
    """
    return [line for lines in _read(folder).values() for line in lines]


def _read(folder: Path) -> dict[str, list[str]]:
    file = folder / _FILE
    try:
        left: dict[str, list[str]] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise EsqError(
            f"the note of the last scrub cannot be read: {error}",
            location=str(file),
            remedy="Delete it and run `esq scrub ENV`.",
        ) from error
    return left
